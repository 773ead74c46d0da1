package config

import "slices"

// The roles that a process can have.
const (
	RoleIngest     = "ingest"
	RoleRouter     = "router"
	RoleDispatcher = "dispatcher"
)

// Roles lists all roles in the order of the flow.
func Roles() []string { return []string{RoleIngest, RoleRouter, RoleDispatcher} }

// Check says whether all is configured that the roles need. The error is a *MissingError that names all that is
// missing. NATS and Postgres are never missing: without a URL they are embedded, also for a part of the roles. Without
// BECKON_PUBLIC_URL a process starts, refuses Twilio's callbacks, asks for none, and warns.
func (c *Config) Check(roles []string) error {
	result := &MissingError{}
	for _, role := range roles {
		if !slices.Contains(Roles(), role) {
			result.UnknownRoles = append(result.UnknownRoles, role)
		}
	}
	for _, need := range c.needs() {
		if !need.there && slices.Contains(roles, need.Role) {
			result.Missing = append(result.Missing, need.Missing)
		}
	}
	if len(result.Missing)+len(result.UnknownRoles) == 0 {
		return nil
	}
	return result
}

// need is a thing that a role cannot do without, and whether it is there.
type need struct {
	Missing
	there bool
}

func (c *Config) needs() []need {
	token := len(c.Twilio.AuthTokens) > 0
	// Senders with accounts of their own need none that is common.
	own := len(c.Senders) > 0 && !slices.ContainsFunc(c.Senders, func(s Sender) bool {
		return s.Account.AccountSID == c.Twilio.AccountSID
	})
	return []need{
		{Missing{RoleIngest, "BECKON_SALESFORCE_ORG_IDS", "the organisations that may send"}, len(c.Salesforce.OrgIDs) > 0},
		{Missing{RoleIngest, "TWILIO_AUTH_TOKEN", "it verifies the signature of Twilio's webhooks"}, len(c.Tokens()) > 0},
		{Missing{RoleRouter, "BECKON_RULES_DIR", "the rules that decide"}, c.RulesDir != ""},
		{Missing{RoleDispatcher, "TWILIO_ACCOUNT_SID", "the account that sends"}, own || c.Twilio.AccountSID != ""},
		{Missing{
			RoleDispatcher, "TWILIO_AUTH_TOKEN (or TWILIO_API_KEY and TWILIO_API_SECRET)", "it authenticates calls to Twilio",
		}, own || token || c.Twilio.APIKey != ""},
		{Missing{
			RoleDispatcher, "TWILIO_MESSAGING_SERVICE_SID, TWILIO_FROM or TWILIO_WHATSAPP_FROM", "a sender",
		}, len(c.Senders) > 0},
	}
}
