{{- /* Names and labels that all templates share. */ -}}

{{- define "pilotage.fullname" -}}
{{- $made := contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) -}}
{{- .Values.fullnameOverride | default $made | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "pilotage.operator" -}}{{ include "pilotage.fullname" . }}-operator{{- end -}}
{{- define "pilotage.flags" -}}{{ include "pilotage.fullname" . }}-flags{{- end -}}

{{- define "pilotage.tlsSecret" -}}
{{- .Values.flagService.tls.secretName | default (printf "%s-tls" (include "pilotage.flags" .)) -}}
{{- end -}}

{{- /* The flag service's names: one address for applications, and the addresses of all replicas for the operator. */ -}}
{{- define "pilotage.flagsHost" -}}{{ include "pilotage.flags" . }}.{{ .Release.Namespace }}.svc{{- end -}}
{{- define "pilotage.flagsReplicasHost" -}}{{ include "pilotage.flags" . }}-replicas.{{ .Release.Namespace }}.svc{{- end -}}

{{- define "pilotage.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- /* Takes (list context component): what tells the pods of a component. */ -}}
{{- define "pilotage.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ $.Chart.Name }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "pilotage.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}
