// Package config reads Beckon's configuration, and is the only one that reads the environment.
//
// Values come from the defaults, then beckon.yaml, then the environment; the later one counts. Reading is strict:
// an unknown key of the file is an error (with a guess at what was meant), because a misspelt setting would silently do
// nothing; an unknown BECKON_ variable is a warning, because the environment belongs to others too. All that is wrong is
// reported at once, with file, line and column. Variables that Kubernetes sets by itself for services named beckon are let
// pass.
//
// Secrets have the type Secret and print as <redacted>, whatever prints them. Error texts never quote a secret or a
// phone number.
//
// A configuration that loads is right in form and in itself. What a role needs beyond that, Check says: a machine that
// only runs the router needs no Twilio credentials.
//
// The settings, one table for reading, printing and documentation (Reference gives it with defaults and meanings):
//
//	yaml path                      variable                        default
//	http.addr                      BECKON_HTTP_ADDR                :8080
//	http.admin_addr                BECKON_ADMIN_ADDR               127.0.0.1:9090
//	http.api_tokens                BECKON_API_TOKEN
//	http.public_url                BECKON_PUBLIC_URL
//	http.tls_cert                  BECKON_HTTP_TLS_CERT            empty: no TLS
//	http.tls_key                   BECKON_HTTP_TLS_KEY
//	http.max_concurrent_requests   BECKON_MAX_CONCURRENT_REQUESTS  512
//	data_dir                       BECKON_DATA_DIR                 ./data
//	nats.url                       BECKON_NATS_URL                 empty: embedded
//	nats.creds                     BECKON_NATS_CREDS
//	nats.ca                        BECKON_NATS_CA
//	nats.cert                      BECKON_NATS_CERT
//	nats.key                       BECKON_NATS_KEY
//	nats.replicas                  BECKON_NATS_REPLICAS            1
//	nats.sync                      BECKON_NATS_SYNC                unknown
//	database.url                   BECKON_DATABASE_URL             empty: private
//	postgres.bin                   BECKON_POSTGRES_BIN             empty: search
//	salesforce.org_ids             BECKON_SALESFORCE_ORG_IDS
//	salesforce.path_secret         BECKON_SALESFORCE_PATH_SECRET
//	salesforce.client_certs        BECKON_SALESFORCE_CLIENT_CERTS  empty: none is asked for
//	salesforce.max_body_bytes      BECKON_MAX_BODY_BYTES           16777216
//	salesforce.confirm_timeout     BECKON_CONFIRM_TIMEOUT          10s
//	twilio.account_sid             TWILIO_ACCOUNT_SID
//	twilio.auth_tokens             TWILIO_AUTH_TOKEN
//	twilio.api_key                 TWILIO_API_KEY
//	twilio.api_secret              TWILIO_API_SECRET
//	twilio.messaging_service_sid   TWILIO_MESSAGING_SERVICE_SID
//	twilio.from                    TWILIO_FROM
//	twilio.whatsapp_from           TWILIO_WHATSAPP_FROM
//	twilio.rate                    TWILIO_RATE
//	twilio.api_url                 BECKON_TWILIO_API_URL           https://api.twilio.com
//	twilio.content_url             BECKON_TWILIO_CONTENT_URL       empty: the one that belongs to twilio.api_url
//	twilio.reactions_file          BECKON_REACTIONS_FILE           empty: the shipped table
//	rules_dir                      BECKON_RULES_DIR                ./rules
//	templates_dir                  BECKON_TEMPLATES_DIR            empty: the shipped ones
//	default_region                 BECKON_DEFAULT_REGION           US
//	dispatch.send_timeout          BECKON_SEND_TIMEOUT             10s
//	dispatch.reconcile_after       BECKON_RECONCILE_AFTER          20s
//	dispatch.concurrency           BECKON_DISPATCH_CONCURRENCY     64
//	dispatch.poll_after            BECKON_POLL_AFTER               1h
//	dispatch.polls_per_minute      BECKON_POLLS_PER_MINUTE         60
//	dispatch.inbound_check         BECKON_INBOUND_CHECK            5m
//	dispatch.media_check           BECKON_MEDIA_CHECK              yes
//	consent.opt_out_file           BECKON_OPT_OUT_FILE
//	consent.review_after           BECKON_REVIEW_AFTER             24h
//	consent.review_then            BECKON_REVIEW_THEN              opt_out
//	quiet_hours.file               BECKON_QUIET_HOURS_FILE
//	quiet_hours.unknown            BECKON_QUIET_UNKNOWN            on
//	quiet_hours.zoneinfo           BECKON_ZONEINFO                 empty: that of the machine
//	prices_file                    BECKON_PRICES_FILE              empty: no costs
//	consent.revoke_scope           BECKON_REVOKE_SCOPE             all
//	consent.revoke_all_from        BECKON_REVOKE_ALL_FROM          2027-01-31
//	consent.double_opt_in          BECKON_DOUBLE_OPT_IN            off
//	consent.confirm_within         BECKON_CONFIRM_WITHIN           72h
//	consent.ask_sender             BECKON_ASK_SENDER               default
//	consent.erasure_keys           BECKON_ERASURE_KEY
//	retention.contents             BECKON_RETENTION_CONTENTS
//	retention.replies              BECKON_RETENTION_REPLIES
//	retention.snapshots            BECKON_RETENTION_SNAPSHOTS
//	retention.decisions            BECKON_RETENTION_DECISIONS
//	shutdown_timeout               BECKON_SHUTDOWN_TIMEOUT         20s
//	log.level                      BECKON_LOG_LEVEL                info
//	log.format                     BECKON_LOG_FORMAT               text
//	replies.pause                  BECKON_REPLY_PAUSE              4h
//	replies.twilio_answers         BECKON_TWILIO_ANSWERS           sms
//	replies.business               BECKON_BUSINESS_NAME
//	replies.help_contact           BECKON_HELP_CONTACT
//	replies.answers_per_hour       BECKON_ANSWERS_PER_HOUR         6
//	replies.webhook_secrets        BECKON_WEBHOOK_SECRET
//	replies.webhook_private        BECKON_WEBHOOK_PRIVATE          no
//
// The file may have a list besides, senders, whose items SenderReference describes. A list needs no variables: what changes
// from machine to machine is one sender's.
//
// Tests are tables, a golden file of error output, and a fuzz target that feeds Load arbitrary files.
package config
