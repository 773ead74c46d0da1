package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/beckonhq/beckon/internal/consent"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/store"
)

// stopped shows that an opt-out ends it.
func (s *story) stopped(ctx context.Context) error {
	s.step("STOP means stop")
	who := ben()
	result, err := s.write(ctx, who, message.SMS, "STOP")
	if err != nil {
		return err
	}
	if err := s.optedOut(ctx, who, result.SID); err != nil {
		return err
	}
	return s.unreachable(ctx, who, "00016492")
}

// stoppedInSpanish shows that no keyword is needed, and that Beckon confirms an opt-out where Twilio does not.
func (s *story) stoppedInSpanish(ctx context.Context) error {
	s.step("Carla asks to stop, in Spanish and in her own words")
	who := carla()
	result, err := s.write(ctx, who, message.WhatsApp, "Por favor, no me manden más mensajes.")
	if err != nil {
		return err
	}
	if err := s.optedOut(ctx, who, result.SID); err != nil {
		return err
	}
	m, err := s.spoken(ctx, who, result.SID, "")
	if err != nil {
		return err
	}
	if m.Origin != message.OriginCompliance {
		return fmt.Errorf("%w: a message of the origin %s answered an opt-out", ErrDidNotHappen, m.Origin)
	}
	s.say(beckon, "confirms it, once: on WhatsApp Twilio does not. Template %s, in %s.", m.Template, m.Language)
	if err := s.rings(ctx, who, result.SID); err != nil {
		return err
	}
	return s.unreachable(ctx, who, "00016493")
}

// optedOut waits for the entry of the consent ledger that comes of a reply.
func (s *story) optedOut(ctx context.Context, who person, sid string) error {
	return until(ctx, who.name+"'s opt-out was recorded", func(ctx context.Context) (bool, error) {
		entries, err := s.ledger.ConsentHistory(ctx, who.number)
		if err != nil || len(entries) == 0 {
			return false, err
		}
		e := entries[len(entries)-1]
		if e.Action != consent.OptOut || e.Evidence != sid {
			return false, nil
		}
		s.say(beckon, "records in the consent ledger: opt-out of %s, channels: %s, source: %s, evidence: %s, recognised: %s.",
			masked(who), e.Channel, e.Source, shortID(e.Evidence), recognised(e.Note))
		return true, nil
	})
}

// recognised is the end of an entry's note, the word or pattern: of alternatives the one that was written, else the first.
func recognised(note string) string {
	at := max(0, strings.LastIndex(note, "["))
	said, by := note[:at], strings.Trim(note[at:], "[]")
	language, pattern, _ := strings.Cut(by, ": ")
	words := strings.Fields(pattern)
	for i, word := range words {
		alternatives := strings.Split(word, "|")
		words[i] = alternatives[0]
		for _, one := range alternatives {
			if strings.Contains(said, one) && len(one) >= len(words[i]) {
				words[i] = one
			}
		}
	}
	return strings.Join(words, " ") + " (" + language + ")"
}

// unreachable lets something happen that would be told to a person, who has opted out.
func (s *story) unreachable(ctx context.Context, who person, number string) error {
	before := s.twilio.Stats().Creates
	change, err := s.save(who, "Case", "Case "+number+" of "+who.name+" is escalated", supportCase(who, number, "Escalated"))
	if err != nil {
		return err
	}
	if err := s.acknowledged(ctx, change.Notifications[0]); err != nil {
		return err
	}
	err = s.follow(ctx, who, change.Notifications[0], who.name+"'s message was suppressed", func(t *store.Trace) bool {
		return reached(t, map[string]message.State{escalated: message.Suppressed}) && t.Messages[0].Reason == message.ReasonOptedOut
	})
	if err != nil {
		return err
	}
	return s.silent(before, 0)
}

// spoken waits for a message that comes of no notification, in a state if one is given: by its id, or by what it comes of.
func (s *story) spoken(ctx context.Context, who person, key string, state message.State) (message.Message, error) {
	var found message.Message
	err := until(ctx, who.name+" was answered", func(ctx context.Context) (bool, error) {
		err := s.ledger.Messages(ctx, store.MessageFilter{To: who.number, State: state}, func(m message.Message) error {
			if m.Origin != message.OriginRule && (m.OriginKey == key || m.ID == key) {
				found = m
			}
			return nil
		})
		return found.ID != "", err
	})
	return found, err
}

// rings waits until such a message was read, and shows it on the person's phone.
func (s *story) rings(ctx context.Context, who person, key string) error {
	m, err := s.spoken(ctx, who, key, message.Read)
	if err != nil {
		return err
	}
	sent, ok := s.twilio.Message(m.SID)
	if !ok {
		return fmt.Errorf("%w: Twilio does not know %s", ErrDidNotHappen, m.SID)
	}
	s.say(who.name+"'s phone", "rings:")
	s.bubble(channelName(m.Channel), sent.Body)
	return nil
}

// post sends JSON to Beckon's private listener.
func (s *story) post(ctx context.Context, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write a request: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.app.AdminURL()+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s was answered with HTTP %d", ErrDidNotHappen, path, response.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(response.Body, largest)).Decode(into)
}
