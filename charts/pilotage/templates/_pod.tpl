{{- /* What the pods of both components share, so that they can't drift apart in what keeps them safe. */ -}}

{{- /* Takes (list context component values): labels and annotations of a pod. */ -}}
{{- define "pilotage.podMetadata" -}}
{{- $ := index . 0 -}}
{{- $values := index . 2 -}}
labels:
  {{- with $values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- include "pilotage.selector" (list $ (index . 1)) | nindent 2 }}
{{- with $values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Takes (list context component values): the pod's spec but for its containers and volumes. */ -}}
{{- define "pilotage.podSpec" -}}
{{- $ := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index . 2 -}}
serviceAccountName: {{ include "pilotage.fullname" $ }}-{{ $component }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
{{- with $.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  {{- if and (eq $component "operator") $.Values.record.file.enabled $.Values.record.file.claim }}
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile: {type: RuntimeDefault}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "pilotage.selector" (list $ $component) | nindent 8 }}
  {{- end }}
{{- end -}}

{{- /* Takes (list context values): the container's image, probes, resources and rights. */ -}}
{{- define "pilotage.container" -}}
{{- $ := index . 0 -}}
image: {{ include "pilotage.image" $ }}
imagePullPolicy: {{ $.Values.image.pullPolicy }}
env:
  # The user of the image has a number, but no name and no home. Libraries ask for both: kopf dies without an identity,
  # and the Kubernetes client without a home.
  - name: POD_ID
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - {name: HOME, value: /tmp}
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
resources:
  {{- toYaml (index . 1).resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}
