package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
)

// Confirmation is the single answer to a STOP, HELP or START, where Twilio gives none, or to the YES of a double opt-in. It is made in the
// transaction that stores the reply. That to a START or YES is no exemption from anything: it goes as other automatic answers do, if the person allows it still.
type Confirmation struct {
	Template string
	Language string // that the person's words are in, when they tell; else that of the message that they answer
	Render   func(language string) (message.Content, error)
	Within   time.Duration // of the reply's reception; later there is none
	PerHour  int           // most automatic answers to one person by one sender
}

// What became of a Confirmation.
const (
	ConfirmationMade     = "made"
	ConfirmationLate     = "late"              // too much time has passed since the reply
	ConfirmationRepeated = "already_opted_out" // the person had opted out before: one confirmation is enough
	ConfirmationNothing  = "not_opted_out"     // a START of somebody who had not opted out changes nothing
	ConfirmationLoop     = "loop"              // two machines seem to talk
	ConfirmationBroken   = "template_error"
	ConfirmationNoText   = "no_text" // the template has nothing for the channel
)

// sameTexts is how many times in a row the same text comes before it is not answered any more.
const sameTexts = 3

// confirm makes the answer to a STOP, HELP, START or YES that has just been stored, unless it is too late, there is a reason not to (held,
// one of Confirmation...), or it would answer a machine.
func confirm(ctx context.Context, tx pgx.Tx, r Reply, linked *Linked, held string) error {
	how, origin, key := r.Answer, message.OriginCompliance, r.SID // the one exemption from an opt-out
	switch {
	case linked.Confirmed && r.Yes.Answer != nil: // also where YES is a word for START
		how, origin, key, held = r.Yes.Answer, message.OriginDoubleOptIn, yesKey+r.SID, ""
	case r.Keyword == string(consent.Start):
		origin = message.OriginReplyRule
	}
	var left time.Duration
	if err := tx.QueryRow(ctx, `select $1::timestamptz + $2::interval - now()`, r.Received, how.Within).Scan(&left); err != nil {
		return fmt.Errorf("ask how old a reply is: %w", err)
	}
	loop, err := talksToMachine(ctx, tx, r, how.PerHour)
	if err != nil {
		return err
	}
	content, broken := how.Render(how.in(linked.Language))
	switch {
	case left <= 0:
		linked.Confirmation = ConfirmationLate
	case held != "":
		linked.Confirmation = held
	case loop:
		linked.Confirmation = ConfirmationLoop
	case broken != nil && !content.Has(r.Channel):
		linked.Confirmation = ConfirmationBroken
	case !content.Has(r.Channel):
		linked.Confirmation = ConfirmationNoText
	}
	if linked.Confirmation != "" {
		return nil
	}
	var p pipeline
	var made bool
	err = queueSpoken(&p, message.Message{
		Org: linked.Org, Origin: origin, OriginKey: key, RecordID: linked.RecordID, ContactID: linked.Contact,
		Sender: r.Sender, Template: how.Template, Language: languageOf(content, r.Channel), Channels: []message.Channel{r.Channel},
		To: r.From, Content: content, ExpiresAfter: left,
	}, &made)
	if err != nil {
		return err
	}
	if err := p.run(ctx, tx); err != nil {
		return fmt.Errorf("make the answer to a keyword: %w", err)
	}
	linked.Confirmation = ConfirmationMade
	return nil
}

// in is the language to answer in. A message in another language than English tells more than words that several languages share.
func (c *Confirmation) in(message string) string {
	if english := message == "" || message == "en" || strings.HasPrefix(message, "en-"); english && c.Language != "" {
		return c.Language
	}
	return message
}

func languageOf(content message.Content, channel message.Channel) string {
	if channel == message.WhatsApp && content.WhatsApp != nil {
		return content.WhatsApp.Language
	}
	return content.SMS.Language
}

// talksToMachine tells whether an automatic answer to a stored reply would keep two machines talking: the same text again and again,
// or many automatic answers in an hour.
func talksToMachine(ctx context.Context, tx pgx.Tx, r Reply, perHour int) (bool, error) {
	if many, err := tooManyAnswers(ctx, tx, r, perHour); many || err != nil {
		return many, err
	}
	return sameAgain(ctx, tx, r)
}

const automaticAnswers = `select count(*) >= $3 from message m where m.recipient = any (array(select known from same_person(array[$1::text])))
	and m.sender = $2 and m.origin in ('compliance', 'reply_rule', 'double_opt_in') and m.created_at > now() - interval '1 hour'`

// tooManyAnswers tells whether the person has got as many automatic answers from this sender in an hour as there may be, on all channels
// and under all addresses that are known to be theirs.
func tooManyAnswers(ctx context.Context, tx pgx.Tx, r Reply, perHour int) (many bool, err error) {
	err = tx.QueryRow(ctx, automaticAnswers,
		string(r.From), r.Sender, perHour).Scan(&many)
	if err != nil {
		return false, fmt.Errorf("count automatic answers: %w", err)
	}
	return many, nil
}

// sameAgain tells whether the newest replies of an hour are all the same text.
func sameAgain(ctx context.Context, tx pgx.Tx, r Reply) (same bool, err error) {
	err = tx.QueryRow(ctx, `select count(*) >= $5 from (select i.body from inbound i join conversation c on c.id = i.conversation_id
			where c.address = $1 and c.sender = $2 and c.channel = $3 and i.received_at > now() - interval '1 hour'
			order by i.received_at desc, i.stream_seq desc limit $5) newest where newest.body = $4`,
		string(r.From), r.Sender, string(r.Channel), clean(r.Body), sameTexts).Scan(&same)
	if err != nil {
		return false, fmt.Errorf("count replies that are the same: %w", err)
	}
	return same, nil
}

// answerHeld tells why a STOP or START that is not stored yet is not answered, since it changes nothing, under any of the person's
// addresses; empty when it does.
func answerHeld(ctx context.Context, tx pgx.Tx, r Reply, people []string, linked *Linked) (string, error) {
	if r.Answer == nil || r.Keyword != string(consent.Stop) && r.Keyword != string(consent.Start) {
		return "", nil
	}
	var state consent.State
	var p pipeline
	queueConsent(&p, people, func(_ string, mark consent.Mark) { state = append(state, mark) })
	if err := p.run(ctx, tx); err != nil {
		return "", fmt.Errorf("read consent: %w", err)
	}
	if r.Keyword == string(consent.Start) {
		if !state.AnyRevoked() {
			return ConfirmationNothing, nil
		}
		return "", nil
	}
	scope, err := revokedScope(ctx, tx, r, linked)
	if err == nil && state.Revoked(scope) {
		return ConfirmationRepeated, nil
	}
	return "", err
}
