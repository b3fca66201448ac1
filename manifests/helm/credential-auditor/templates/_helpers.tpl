{{- define "labels" -}}
app.kubernetes.io/name: {{ . }}
app.kubernetes.io/part-of: credential-auditor
{{- end -}}

{{- define "image" -}}
{{- $_ := include "clusterName" . -}}
{{- $image := .Values.image -}}
{{- if hasPrefix "registry.credential-auditor.example/" $image.repository -}}
{{- fail "image.repository: no image is published yet; push what `cargo xtask image` builds to a registry of yours, and name it: --set image.repository=REGISTRY/credential-auditor" -}}
{{- end -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "clusterName" -}}
{{- required "clusterName is required: the EKS cluster's name, as `aws eks list-clusters` prints it: --set clusterName=NAME" .Values.clusterName -}}
{{- end -}}

{{- /* Whether objects of the Prometheus Operator are wanted: a list of the value and the root context; empty is no. */ -}}
{{- define "operator" -}}
{{- $enabled := first . -}}
{{- if kindIs "bool" $enabled -}}
{{- if $enabled -}}yes{{- end -}}
{{- else if (last .).Capabilities.APIVersions.Has "monitoring.coreos.com/v1" -}}
yes
{{- end -}}
{{- end -}}

{{- /* The environment that node and syncer share. CLUSTER_NAME comes first: overlays of kustomize replace it by its place. */ -}}
{{- define "environment" -}}
- name: CLUSTER_NAME
  value: {{ include "clusterName" . | quote }}
{{- with .Values.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- end -}}

{{- /* Of a list of the workload's values and the root context: the class that the chart makes wins. */ -}}
{{- define "priorityClassName" -}}
{{- $class := (last .).Values.priorityClass -}}
{{- $class.create | ternary $class.name (first .).priorityClassName -}}
{{- end -}}

{{- /* Flags of a user's own: a dict of the value's name, of them, and of those that are not his (`own`). */ -}}
{{- define "extraArgs" -}}
{{- $given := . -}}
{{- range $index, $arg := $given.args -}}
{{- range $flag := $given.own -}}
{{- if or (eq $arg $flag) (hasPrefix (printf "%s=" $flag) $arg) -}}
{{- fail (printf "%s: %s is the chart's own: where it may be another, values.yaml has a value for it" $given.name $flag) -}}
{{- end -}}
{{- end -}}
{{- if $index }}{{ "\n" }}{{ end -}}
- {{ $arg | quote }}
{{- end -}}
{{- end -}}
