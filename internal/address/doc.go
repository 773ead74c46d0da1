// Package address holds the type of a person's address: a phone number in E.164 form, or the business-scoped id that
// WhatsApp shows instead of a number. It parses what people type into CRM fields, and it masks itself in logs and
// error texts, so that no call site has to remember to.
package address
