package config

import "time"

// Setting describes one value for people: docs/configuration.md is made from it.
type Setting struct {
	// Path is its place in beckon.yaml, for example http.addr.
	Path string
	// Variable is its environment variable.
	Variable string
	// Default is the text of its default, empty for none.
	Default string
	// Meaning is one sentence.
	Meaning string
	// Secret says that it never prints.
	Secret bool
	// List says that it takes several values: a list in the file, commas in the variable.
	List bool
}

// setting is a Setting and the field that it fills.
type setting struct {
	Setting
	field func(*Config) value
}

// Reference lists all settings in the order of the documentation.
func Reference() []Setting {
	all := settings()
	list := make([]Setting, len(all))
	for i, s := range all {
		list[i] = s.Setting
	}
	return list
}

func settings() []setting {
	var all []setting
	for _, group := range [][]setting{serverSettings(), salesforceSettings(), twilioSettings(), otherSettings(), replySettings()} {
		all = append(all, group...)
	}
	for i := range all {
		v := all[i].field(&Config{})
		all[i].Secret, all[i].List = v.secret, v.list
	}
	return all
}

func def(path, variable, standard, meaning string, field func(*Config) value) setting {
	return setting{
		Setting: Setting{Path: path, Variable: variable, Default: standard, Meaning: meaning}, field: field,
	}
}

func serverSettings() []setting {
	return []setting{
		def("http.addr", "BECKON_HTTP_ADDR", ":8080", "The public listener, for Salesforce and Twilio.",
			func(c *Config) value { return hostPort(&c.HTTP.Addr) }),
		def("http.admin_addr", "BECKON_ADMIN_ADDR", "127.0.0.1:9090", "The private listener: health, metrics, API, profiles.",
			func(c *Config) value { return hostPort(&c.HTTP.AdminAddr) }),
		def("http.api_tokens", "BECKON_API_TOKEN", "",
			"Bearer tokens of the API and the profiles, 32 characters or more, any of them opens; none: they answer over loopback only.",
			func(c *Config) value { return longSecrets(&c.HTTP.APITokens) }),
		def("http.public_url", "BECKON_PUBLIC_URL", "",
			"How Salesforce and Twilio reach the public listener; signatures and status callbacks are built from it.",
			func(c *Config) value { return webURL(&c.HTTP.PublicURL) }),
		def("http.tls_cert", "BECKON_HTTP_TLS_CERT", "",
			"The path of the PEM certificate of the public listener, with its intermediates; empty: no TLS, a proxy in front ends it.",
			func(c *Config) value { return text(&c.HTTP.TLSCert) }),
		def("http.tls_key", "BECKON_HTTP_TLS_KEY", "", "The path of the PEM private key of that certificate.",
			func(c *Config) value { return text(&c.HTTP.TLSKey) }),
		def("http.max_concurrent_requests", "BECKON_MAX_CONCURRENT_REQUESTS", "512",
			"How many requests the public listener works on at once; beyond it the answer is 503.",
			func(c *Config) value { return number(&c.HTTP.MaxConcurrentRequests, 1, 100_000) }),
		def("data_dir", "BECKON_DATA_DIR", "./data", "Where the embedded NATS and the private Postgres keep their data.",
			func(c *Config) value { return text(&c.DataDir) }),
		def("nats.url", "BECKON_NATS_URL", "",
			"The NATS servers, with commas between them; empty: embedded, on disk, synced before it confirms.",
			func(c *Config) value { return natsURL(&c.NATS.URL) }),
		def("nats.creds", "BECKON_NATS_CREDS", "", "The path of a NATS credentials file.",
			func(c *Config) value { return text(&c.NATS.Creds) }),
		def("nats.ca", "BECKON_NATS_CA", "",
			"The path of PEM certificates that the NATS servers are checked by; empty: the authorities that the machine trusts.",
			func(c *Config) value { return text(&c.NATS.CA) }),
		def("nats.cert", "BECKON_NATS_CERT", "", "The path of the PEM certificate that Beckon shows to the NATS servers.",
			func(c *Config) value { return text(&c.NATS.Cert) }),
		def("nats.key", "BECKON_NATS_KEY", "", "The path of the PEM private key of that certificate.",
			func(c *Config) value { return text(&c.NATS.Key) }),
		def("nats.replicas", "BECKON_NATS_REPLICAS", "1", "How many NATS servers keep each stream: 1, 3 or 5.",
			func(c *Config) value { return number(&c.NATS.Replicas, 1, 5) }),
		def("nats.sync", "BECKON_NATS_SYNC", "unknown",
			"always: you declare that a NATS server of your own syncs to disk before it confirms; a client cannot see it.",
			func(c *Config) value { return oneOf(&c.NATS.Sync, SyncUnknown, SyncAlways) }),
		def("database.url", "BECKON_DATABASE_URL", "",
			"The Postgres server, postgres://...; empty: a private one that Beckon starts from the programs of the machine.",
			func(c *Config) value { return databaseURL(&c.Database.URL) }),
		def("postgres.bin", "BECKON_POSTGRES_BIN", "",
			"The directory of the programs of the private Postgres; empty: PATH, then the usual places, then fetched.",
			func(c *Config) value { return text(&c.PostgresBin) }),
	}
}

func salesforceSettings() []setting {
	return []setting{
		def("salesforce.org_ids", "BECKON_SALESFORCE_ORG_IDS", "",
			"The organisations that may send, 15 or 18 characters each.",
			func(c *Config) value { return orgIDs(&c.Salesforce.OrgIDs) }),
		def("salesforce.path_secret", "BECKON_SALESFORCE_PATH_SECRET", "",
			"If set, the endpoint is /salesforce/outbound-messages/<secret>.",
			func(c *Config) value { return pathSecret(&c.Salesforce.PathSecret) }),
		def("salesforce.client_certs", "BECKON_SALESFORCE_CLIENT_CERTS", "",
			"The path of the PEM client certificates of Salesforce that are accepted, and no others; empty: none is asked for.",
			func(c *Config) value { return text(&c.Salesforce.ClientCerts) }),
		def("salesforce.max_body_bytes", "BECKON_MAX_BODY_BYTES", "16777216", "The size of the largest envelope, in bytes.",
			func(c *Config) value { return number(&c.Salesforce.MaxBodyBytes, 1024, 64<<20) }),
		def("salesforce.confirm_timeout", "BECKON_CONFIRM_TIMEOUT", "10s",
			"How long an envelope waits for its storage before the answer is 503; Salesforce gives up after 60s.",
			func(c *Config) value { return duration(&c.Salesforce.ConfirmTimeout) }),
	}
}

func twilioSettings() []setting {
	return []setting{
		def("twilio.account_sid", "TWILIO_ACCOUNT_SID", "", "The Twilio account, AC...",
			func(c *Config) value { return sid(&c.Twilio.AccountSID, "AC") }),
		def("twilio.auth_tokens", "TWILIO_AUTH_TOKEN", "",
			"Several during rotation: any of them verifies a webhook, the first sends.",
			func(c *Config) value { return secrets(&c.Twilio.AuthTokens) }),
		def("twilio.api_key", "TWILIO_API_KEY", "", "Used to send when set, SK...",
			func(c *Config) value { return sid(&c.Twilio.APIKey, "SK") }),
		def("twilio.api_secret", "TWILIO_API_SECRET", "", "The secret of the API key.",
			func(c *Config) value { return secret(&c.Twilio.APISecret) }),
		def("twilio.messaging_service_sid", "TWILIO_MESSAGING_SERVICE_SID", "",
			"The Messaging Service that sends SMS, MG...; goes before twilio.from.",
			func(c *Config) value { return sid(&c.Twilio.MessagingServiceSID, "MG") }),
		def("twilio.from", "TWILIO_FROM", "", "The number that sends SMS, +E.164 or a short code.",
			func(c *Config) value { return phone(&c.Twilio.From, true) }),
		def("twilio.whatsapp_from", "TWILIO_WHATSAPP_FROM", "", "The number that sends WhatsApp messages, +E.164.",
			func(c *Config) value { return phone(&c.Twilio.WhatsAppFrom, false) }),
		def("twilio.rate", "TWILIO_RATE", "",
			"Most segments in a time, over all dispatchers: 3/s, 180/m, 5000/h; empty: no bound.",
			func(c *Config) value { return rate(&c.Twilio.Rate) }),
		def("twilio.api_url", "BECKON_TWILIO_API_URL", "https://api.twilio.com",
			"The base URL of the Twilio REST API, for tests and simulators.",
			func(c *Config) value { return webURL(&c.Twilio.APIURL) }),
		def("twilio.content_url", "BECKON_TWILIO_CONTENT_URL", "",
			"The base URL of Twilio's Content API; empty: Twilio's, or the one of twilio.api_url when that is another.",
			func(c *Config) value { return webURL(&c.Twilio.ContentURL) }),
		def("twilio.reactions_file", "BECKON_REACTIONS_FILE", "",
			"The path of a table of reactions to error codes; its entries replace those of the shipped table.",
			func(c *Config) value { return text(&c.Twilio.ReactionsFile) }),
	}
}

// longestSend is within the minute that the dispatcher keeps from the end of WhatsApp's 24-hour window.
const longestSend = 45 * time.Second

func otherSettings() []setting {
	return []setting{
		def("rules_dir", "BECKON_RULES_DIR", "./rules", "The rule files; read at start, on change and on SIGHUP.",
			func(c *Config) value { return text(&c.RulesDir) }),
		def("templates_dir", "BECKON_TEMPLATES_DIR", "",
			"The template files, read like the rules; empty: the shipped defaults.",
			func(c *Config) value { return text(&c.TemplatesDir) }),
		def("default_region", "BECKON_DEFAULT_REGION", "US",
			"The region (ISO 3166-1) of phone numbers that are written without a country code.",
			func(c *Config) value { return region(&c.DefaultRegion) }),
		def("dispatch.send_timeout", "BECKON_SEND_TIMEOUT", "10s",
			"The deadline of one call to Twilio, at most 45s; the lease of an attempt is derived from it.",
			func(c *Config) value { return durationUpTo(&c.Dispatch.SendTimeout, longestSend) }),
		def("dispatch.reconcile_after", "BECKON_RECONCILE_AFTER", "20s",
			"The wait before an unknown outcome is looked up, and between the two look-ups.",
			func(c *Config) value { return duration(&c.Dispatch.ReconcileAfter) }),
		def("dispatch.concurrency", "BECKON_DISPATCH_CONCURRENCY", "64", "How many calls to Twilio go on at once, for each sender.",
			func(c *Config) value { return number(&c.Dispatch.Concurrency, 1, 10_000) }),
		def("dispatch.poll_after", "BECKON_POLL_AFTER", "1h",
			"How old a message without a final state is when Twilio is asked for it, since its callbacks may be lost.",
			func(c *Config) value { return duration(&c.Dispatch.PollAfter) }),
		def("dispatch.polls_per_minute", "BECKON_POLLS_PER_MINUTE", "60", "How many such questions each dispatcher asks at most.",
			func(c *Config) value { return number(&c.Dispatch.PollsPerMinute, 1, 6000) }),
		def("dispatch.inbound_check", "BECKON_INBOUND_CHECK", "5m",
			"How often Twilio is asked for replies whose webhooks were missed.",
			func(c *Config) value { return duration(&c.Dispatch.InboundCheck) }),
		def("dispatch.media_check", "BECKON_MEDIA_CHECK", "yes",
			"Whether the servers of pictures and files are asked for type and size before sending: yes, private (also in private networks) or no.",
			func(c *Config) value {
				return oneOf(&c.Dispatch.MediaCheck, MediaCheckYes, MediaCheckPrivate, MediaCheckNo)
			}),
		def("consent.opt_out_file", "BECKON_OPT_OUT_FILE", "",
			"A file with words and wordings of opt-outs that adds to the shipped ones; read at start.",
			func(c *Config) value { return text(&c.Consent.OptOutFile) }),
		def("consent.review_after", "BECKON_REVIEW_AFTER", "24h",
			"How long a human has to decide whether a doubtful reply is an opt-out; sending to the person waits.",
			func(c *Config) value { return duration(&c.Consent.ReviewAfter) }),
		def("consent.review_then", "BECKON_REVIEW_THEN", "opt_out", "What such a reply is when nobody has decided: opt_out or keep.",
			func(c *Config) value { return oneOf(&c.Consent.ReviewThen, "opt_out", "keep") }),
		def("quiet_hours.file", "BECKON_QUIET_HOURS_FILE", "",
			"A table of hours whose rows replace those of the shipped one, and add windows with names; read at start.",
			func(c *Config) value { return text(&c.QuietHours.File) }),
		def("quiet_hours.unknown", "BECKON_QUIET_UNKNOWN", "on",
			"The hours of people of whom no US state is known: on (as the table says), off (the federal ones alone), or a span such as 12:00-20:00.",
			func(c *Config) value { return text(&c.QuietHours.Unknown) }),
		def("quiet_hours.zoneinfo", "BECKON_ZONEINFO", "",
			"Newer time zone data, a directory or a zip file; empty: the machine's, and without those the copy in the program.",
			func(c *Config) value { return text(&c.QuietHours.ZoneInfo) }),
		def("prices_file", "BECKON_PRICES_FILE", "", "The path of the prices that beckon stats estimates costs with; empty: no costs.",
			func(c *Config) value { return text(&c.PricesFile) }),
		def("consent.revoke_scope", "BECKON_REVOKE_SCOPE", "all",
			"What STOP opts out of: all, or the program of the message that it answers.",
			func(c *Config) value { return oneOf(&c.Consent.RevokeScope, "all", "program") }),
		def("consent.revoke_all_from", "BECKON_REVOKE_ALL_FROM", "2027-01-31",
			"The day (UTC) from which STOP of people in the United States opts out of everything all the same; never: it does not.",
			func(c *Config) value { return dayOrNever(&c.Consent.RevokeAllFrom) }),
		def("consent.double_opt_in", "BECKON_DOUBLE_OPT_IN", "off",
			"on: people are asked to confirm an opt-in, and it counts for marketing only when they have answered YES.",
			func(c *Config) value { return oneOf(&c.Consent.DoubleOptIn, "off", "on") }),
		def("consent.confirm_within", "BECKON_CONFIRM_WITHIN", "72h", "How long a YES confirms an opt-in, from when the person was asked.",
			func(c *Config) value { return duration(&c.Consent.ConfirmWithin) }),
		def("consent.ask_sender", "BECKON_ASK_SENDER", "default", "The sender that asks people to confirm an opt-in.",
			func(c *Config) value { return senderName(&c.Consent.AskSender) }),
		def("consent.erasure_keys", "BECKON_ERASURE_KEY", "",
			"Keys of the hashes that stay of erased addresses: the first makes hashes, all are looked for; every process needs them.",
			func(c *Config) value { return longSecrets(&c.Consent.ErasureKeys) }),
		def("retention.contents", "BECKON_RETENTION_CONTENTS", "", "How long texts of messages that ended are kept, at least 26h; empty: for ever.",
			func(c *Config) value { return retention(&c.Retention.Contents) }),
		def("retention.replies", "BECKON_RETENTION_REPLIES", "", "How long texts of replies are kept, at least 26h; empty: for ever.",
			func(c *Config) value { return retention(&c.Retention.Replies) }),
		def("retention.snapshots", "BECKON_RETENTION_SNAPSHOTS", "", "How long last-seen copies of records that did not change are kept, at least 26h; empty: for ever.",
			func(c *Config) value { return retention(&c.Retention.Snapshots) }),
		def("retention.decisions", "BECKON_RETENTION_DECISIONS", "", "How long previous values in decisions are kept, at least 26h; empty: for ever.",
			func(c *Config) value { return retention(&c.Retention.Decisions) }),
		def("shutdown_timeout", "BECKON_SHUTDOWN_TIMEOUT", "20s", "How long work in flight may take when Beckon stops.",
			func(c *Config) value { return duration(&c.ShutdownTimeout) }),
		def("log.level", "BECKON_LOG_LEVEL", "info", "debug, info, warn or error.",
			func(c *Config) value { return level(&c.Log.Level) }),
		def("log.format", "BECKON_LOG_FORMAT", "text", "text or json.",
			func(c *Config) value { return oneOf(&c.Log.Format, "text", "json") }),
	}
}
