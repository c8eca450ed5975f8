"""OpenSLO: reads service level objectives in the open format and says them as Pilotage's indicators and objectives.

What has no counterpart is told with its document and field, to the user and in the output: nothing is lost silently.
"""
