{{/* The release's name with the chart's, once. */}}
{{- define "isocenter.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* What a thing is found by; takes (list root component). */}}
{{- define "isocenter.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{/* All labels; takes (list root component). */}}
{{- define "isocenter.labels" -}}
{{- $root := first . -}}
{{ include "isocenter.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{- define "isocenter.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "isocenter.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "isocenter.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* Of every container here. */}}
{{- define "isocenter.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
