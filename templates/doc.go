// Package templates turns a template's name, a language and a rule's variables into the content of a message.
//
// It takes YAML files, one template each, named <template>.yaml (Load; the shipped ones are Defaults), and gives
// message.Content with the SMS text and its size and the WhatsApp template call and free text (Render). A file:
//
//	sms:                                       # optional; text per language
//	  en: "Hi {{.first_name}}, welcome aboard."
//	whatsapp:                                  # optional
//	  content_sid: {en: HX..., es: HX...}      # approved template; one text instead of a map serves every language
//	  content_variables: {"1": first_name, "2": '{{date .due_date "long"}}'}  # a variable's name, or a text
//	  text: {en: "..."}                        # optional free text for the 24-hour window
//	media: {sms: [https://...]}                # optional files that go with the texts
//
// Text is Go text/template over the variables. A variable that the rule doesn't have is an error. So is a null one, as
// soon as it would be written or handed to a function; only default, if, with, and, or and not accept null.
//
// Loading is strict and reports every problem of every file at once, with file, line and column (*LoadError). A set is
// immutable and safe for concurrent use; reloading makes a new one.
//
// # Languages
//
// Language tags are BCP 47 or Salesforce locales (es_MX). The language asked for falls back to its parents (es-MX,
// es-419, es), then to en, then to the first language in the file; an unknown language starts at en. Functions format in
// the language that was found, not in the one that was asked for. One content_sid for every language without any text
// formats its variables in en.
//
// # Functions
//
// Besides text/template's own (not call, and range only over lists, not nested):
//
//	{{date .at "long" "America/New_York"}}  date; styles short, medium, long, full or a Go layout; optional time zone
//	{{time .at "short" "Europe/Madrid"}}    time of day; style short or a Go layout; optional time zone
//	{{number .n 2}}                         number with the language's separators; optional decimals, 0 to 9
//	{{currency .amount "EUR"}}              amount with sign or code of an ISO 4217 currency
//	{{default "there" .first_name}}         the last value, or the first when the last is null or empty
//	{{title .s}} {{upper .s}} {{lower .s}}  letter case; title makes the other letters small
//	{{trim .s}}                             without white space at both ends
//	{{truncate 20 .s}}                      at most so many characters; "..." marks a cut
//
// Dates are RFC 3339 or Salesforce's text forms, or a time; without a time zone a time is shown in the offset that it
// was written with. Names of months and days are known in English and Spanish; other languages get ISO 8601.
//
// # Failure
//
// Render fails per channel: what could be rendered is returned beside the error. No error holds a value of a variable.
// Rendering does no I/O and stops at a fixed size of output. Tested by golden tables in both languages, files each made
// wrong in one way, and fuzzing.
package templates
