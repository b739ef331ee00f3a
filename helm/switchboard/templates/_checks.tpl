{{/* What the schema cannot say: values that do not fit each other. Fails with words. */}}

{{- define "switchboard.checks" -}}
{{- include "switchboard.checkDrain" .Values -}}
{{- include "switchboard.checkConfig" .Values -}}
{{- include "switchboard.checkRedis" .Values -}}
{{- include "switchboard.checkPushAndTurn" .Values -}}
{{- include "switchboard.checkScale" .Values -}}
{{- end }}

{{- define "switchboard.checkDrain" -}}
{{- $drain := .drain -}}
{{- $needed := add $drain.preStopSeconds $drain.drainSeconds $drain.shutdownSeconds $drain.marginSeconds -}}
{{- if lt (int64 .terminationGracePeriodSeconds) $needed -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, and has to be %d at least: drain.preStopSeconds %d, drain.drainSeconds %d, drain.shutdownSeconds %d and drain.marginSeconds %d together; otherwise pods are killed while they send their clients away" (int64 .terminationGracePeriodSeconds) $needed (int64 $drain.preStopSeconds) (int64 $drain.drainSeconds) (int64 $drain.shutdownSeconds) (int64 $drain.marginSeconds)) -}}
{{- end -}}
{{- end }}

{{- define "switchboard.checkConfig" -}}
{{- $elsewhere := dict
  "PORT" "containerPort" "METRICS_PORT" "internalService.port" "BACKPLANE" "redis.enabled"
  "DRAIN_TIMEOUT" "drain.drainSeconds" "SHUTDOWN_TIMEOUT" "drain.shutdownSeconds"
  "REDIS_URL" "redis.url" "REDIS_USERNAME" "redis.username" "REDIS_TLS" "redis.tls.enabled"
  "REDIS_TLS_CA" "redis.tls.existingSecret" "REDIS_TLS_CERT" "redis.tls.existingSecret" "REDIS_TLS_KEY" "redis.tls.existingSecret"
  "FIREBASE_PRIVATE_KEY_PATH" "fcm.existingSecret" "FIREBASE_PROJECT_ID" "fcm.projectId"
  "APNS_KEY_PATH" "apns.existingSecret" "APNS_KEY_ID" "apns.keyId" "APNS_TEAM_ID" "apns.teamId" "APNS_TOPIC" "apns.topic"
  "TLS_CERT" "tls.existingSecret" "TLS_KEY" "tls.existingSecret" "CONFIG_FILE" "hotConfig"
  "APNS_ENVIRONMENT" "apns.environment" "TURN_SERVER_URL" "turn.urls" "TURN_REGIONS" "turn.regions" "TURN_TTL" "turn.ttl"
  "TURN_STATIC_SECRET_FILE" "turn.existingSecret" "WEBHOOK_URL" "webhooks.url" "WEBHOOK_EVENTS" "webhooks.events" -}}
{{- $secret := list "JWT_SECRET" "REDIS_PASSWORD" "REDIS_SENTINEL_PASSWORD" "TURN_STATIC_SECRET" "TURN_CREDENTIAL" "WEBHOOK_SECRET"
  "OTEL_EXPORTER_OTLP_HEADERS" -}}
{{- range $name, $_ := .hotConfig -}}
{{- if hasKey $.config $name -}}
{{- fail (printf "hotConfig.%s and config.%s: the latter would win, and never change without new pods" $name $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := .config -}}
{{- if has $name $secret -}}
{{- fail (printf "config.%s is a secret, and config ends up where anybody can read it: put it into the Secret that existingSecret names" $name) -}}
{{- end -}}
{{- if hasKey $elsewhere $name -}}
{{- fail (printf "config.%s: this chart has the value %s for it" $name (get $elsewhere $name)) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "switchboard.checkRedis" -}}
{{- if .redis.enabled -}}
{{- if regexMatch "^[a-z]+://[^/@]*:[^/@]+@" .redis.url -}}
{{- fail "redis.url has a password in it: put the password into a Secret that redis.existingSecret names" -}}
{{- end -}}
{{- $places := list -}}
{{- if .redis.url }}{{ $places = append $places "redis.url" }}{{ end -}}
{{- if and .redis.existingSecret .redis.urlKey }}{{ $places = append $places "redis.urlKey" }}{{ end -}}
{{- if .config.REDIS_HOST }}{{ $places = append $places "config.REDIS_HOST" }}{{ end -}}
{{- if .config.REDIS_SENTINELS }}{{ $places = append $places "config.REDIS_SENTINELS" }}{{ end -}}
{{- if hasKey .secretFiles "REDIS_URL" }}{{ $places = append $places "secretFiles.REDIS_URL" }}{{ end -}}
{{- if gt (len $places) 1 -}}
{{- fail (printf "where Redis is has one place; it is said by %s" (join " and " $places)) -}}
{{- end -}}
{{- if and .redis.existingSecret .redis.passwordKey (hasKey .secretFiles "REDIS_PASSWORD") -}}
{{- fail "secretFiles.REDIS_PASSWORD and redis.existingSecret: the password has one place" -}}
{{- end -}}
{{- if and .redis.tls.existingSecret (not .redis.tls.enabled) (not (hasPrefix "rediss://" .redis.url)) -}}
{{- fail "redis.tls.existingSecret needs redis.tls.enabled" -}}
{{- end -}}
{{- if ne (empty .redis.tls.certKey) (empty .redis.tls.keyKey) -}}
{{- fail "redis.tls.certKey and redis.tls.keyKey need each other" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "switchboard.checkPushAndTurn" -}}
{{- if .apns.existingSecret -}}
{{- range $name := list "keyId" "teamId" "topic" -}}
{{- if not (get $.apns $name) }}{{ fail (printf "apns.existingSecret needs apns.%s" $name) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if and (or .turn.existingSecret .turn.regions) (not .turn.urls) -}}
{{- fail "turn.existingSecret and turn.regions need turn.urls" -}}
{{- end -}}
{{- if and .webhooks.events (not .webhooks.url) }}{{ fail "webhooks.events needs webhooks.url" }}{{ end -}}
{{- if and .webhooks.url (not .existingSecret) (not .extraEnv) (not .extraEnvFrom) (not (hasKey .secretFiles "WEBHOOK_SECRET")) -}}
{{- fail "webhooks.url needs WEBHOOK_SECRET, in secretFiles or in the Secret that existingSecret names" -}}
{{- end -}}
{{- end }}

{{- define "switchboard.checkScale" -}}
{{- if and .autoscaling.enabled .keda.enabled -}}
{{- fail "autoscaling.enabled and keda.enabled: KEDA makes a HorizontalPodAutoscaler of its own, and two of them fight" -}}
{{- end -}}
{{- $by := or .autoscaling.targetCPUUtilizationPercentage .autoscaling.targetConnections -}}
{{- if and .autoscaling.enabled (not $by) (not .autoscaling.customMetrics) -}}
{{- fail "autoscaling.enabled needs something to go by: targetCPUUtilizationPercentage, targetConnections or customMetrics" -}}
{{- end -}}
{{- if and .keda.enabled (not $by) (not .keda.triggers) -}}
{{- fail "keda.enabled needs something to go by: autoscaling.targetCPUUtilizationPercentage, autoscaling.targetConnections or keda.triggers" -}}
{{- end -}}
{{- if lt (int .autoscaling.maxReplicas) (int .autoscaling.minReplicas) -}}
{{- fail "autoscaling.maxReplicas is less than autoscaling.minReplicas" -}}
{{- end -}}
{{- if and (not .redis.enabled) (or .autoscaling.enabled .keda.enabled (gt (int .replicaCount) 1)) -}}
{{- fail "redis.enabled is false: two pods would not know each other's users; set replicaCount to 1, without autoscaling and keda" -}}
{{- end -}}
{{- if and .ingress.enabled (not .ingress.hosts) }}{{ fail "ingress.enabled needs ingress.hosts" }}{{ end -}}
{{- if and .httpRoute.enabled (not .httpRoute.parentRefs) }}{{ fail "httpRoute.enabled needs httpRoute.parentRefs" }}{{ end -}}
{{- if and .metrics.serviceMonitor.enabled (not .internalService.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled needs internalService.enabled" -}}
{{- end -}}
{{- end }}
