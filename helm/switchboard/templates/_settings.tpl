{{/* The server's variables that are not secret, and the Secrets that are mounted as files. */}}

{{/* A whole number without the exponent that Helm would write it with. */}}
{{- define "switchboard.setting" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{- define "switchboard.settings" -}}
{{- $values := .Values -}}
{{- $settings := dict "DRAIN_TIMEOUT" (mul $values.drain.drainSeconds 1000) "SHUTDOWN_TIMEOUT" (mul $values.drain.shutdownSeconds 1000) -}}
{{- if ne (int $values.containerPort) 3000 }}{{ $_ := set $settings "PORT" $values.containerPort }}{{ end -}}
{{- if $values.tls.existingSecret -}}
{{- $_ := set $settings "TLS_CERT" (print "/etc/switchboard/tls/" $values.tls.certKey) -}}
{{- $_ := set $settings "TLS_KEY" (print "/etc/switchboard/tls/" $values.tls.keyKey) -}}
{{- end -}}
{{- if $values.hotConfig }}{{ $_ := set $settings "CONFIG_FILE" "/etc/switchboard/hot/settings" }}{{ end -}}
{{- range $name, $file := $values.secretFiles }}{{ $_ := set $settings (print $name "_FILE") (print "/etc/switchboard/" (include "switchboard.secretFile" $name) "/" $file.key) }}{{ end -}}
{{- if ne (int $values.internalService.port) 9464 }}{{ $_ := set $settings "METRICS_PORT" $values.internalService.port }}{{ end -}}
{{- with $values.redis -}}
{{- if not .enabled }}{{ $_ := set $settings "BACKPLANE" "embedded" }}{{ else -}}
{{- with .url }}{{ $_ := set $settings "REDIS_URL" . }}{{ end -}}
{{- with .username }}{{ $_ := set $settings "REDIS_USERNAME" . }}{{ end -}}
{{- if .tls.enabled }}{{ $_ := set $settings "REDIS_TLS" "true" }}{{ end -}}
{{- if .tls.existingSecret -}}
{{- with .tls.caKey }}{{ $_ := set $settings "REDIS_TLS_CA" (print "/etc/switchboard/redis-tls/" .) }}{{ end -}}
{{- with .tls.certKey }}{{ $_ := set $settings "REDIS_TLS_CERT" (print "/etc/switchboard/redis-tls/" .) }}{{ end -}}
{{- with .tls.keyKey }}{{ $_ := set $settings "REDIS_TLS_KEY" (print "/etc/switchboard/redis-tls/" .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $values.fcm.existingSecret -}}
{{- $_ := set $settings "FIREBASE_PRIVATE_KEY_PATH" (print "/etc/switchboard/fcm/" $values.fcm.key) -}}
{{- with $values.fcm.projectId }}{{ $_ := set $settings "FIREBASE_PROJECT_ID" . }}{{ end -}}
{{- end -}}
{{- if $values.apns.existingSecret -}}
{{- $_ := set $settings "APNS_KEY_PATH" (print "/etc/switchboard/apns/" $values.apns.key) -}}
{{- $_ := set $settings "APNS_KEY_ID" $values.apns.keyId -}}
{{- $_ := set $settings "APNS_TEAM_ID" $values.apns.teamId -}}
{{- $_ := set $settings "APNS_TOPIC" $values.apns.topic -}}
{{- $_ := set $settings "APNS_ENVIRONMENT" $values.apns.environment -}}
{{- end -}}
{{- if $values.webhooks.url -}}
{{- $_ := set $settings "WEBHOOK_URL" $values.webhooks.url -}}
{{- with $values.webhooks.events }}{{ $_ := set $settings "WEBHOOK_EVENTS" (join "," .) }}{{ end -}}
{{- end -}}
{{- if $values.turn.urls -}}
{{- $_ := set $settings "TURN_SERVER_URL" (join "," $values.turn.urls) -}}
{{- $_ := set $settings "TURN_TTL" $values.turn.ttl -}}
{{- end -}}
{{- $regions := list -}}
{{- range $region, $urls := $values.turn.regions }}{{ $regions = append $regions (printf "%s=%s" $region (join "," $urls)) }}{{ end -}}
{{- if $regions }}{{ $_ := set $settings "TURN_REGIONS" (join "; " $regions) }}{{ end -}}
{{- with $values.turn.existingSecret }}{{ $_ := set $settings "TURN_STATIC_SECRET_FILE" (print "/etc/switchboard/turn/" $values.turn.key) }}{{ end -}}
{{- range $name, $value := merge $settings $values.config }}
{{ $name }}: {{ include "switchboard.setting" $value | quote }}
{{- end }}
{{- end }}

{{/* The settings that change without new pods, as lines of a file. */}}
{{- define "switchboard.hotSettings" -}}
{{- range $name, $value := .Values.hotConfig }}
{{ $name }}={{ include "switchboard.setting" $value }}
{{- end }}
{{- end }}

{{/* What the folder of a secret is called, and its volume. */}}
{{- define "switchboard.secretFile" -}}
{{ lower . | replace "_" "-" }}
{{- end }}

{{/* What is mounted as files: name, Secret. Folders and not single files, so that a Secret that changes is seen. */}}
{{- define "switchboard.files" -}}
{{- $tls := and .Values.redis.enabled .Values.redis.tls.existingSecret -}}
{{- $all := dict "fcm" .Values.fcm.existingSecret "apns" .Values.apns.existingSecret "turn" .Values.turn.existingSecret "redis-tls" $tls "tls" .Values.tls.existingSecret -}}
{{- range $name, $file := .Values.secretFiles }}{{ $_ := set $all (include "switchboard.secretFile" $name) $file.secret }}{{ end -}}
{{- range $name, $secret := $all }}
{{- if $secret }}
{{ $name }}: {{ $secret }}
{{- end }}
{{- end }}
{{- end }}
