package store

import (
	"encoding/json"
	"fmt"
)

// GateAnswer is what one gate said of a message on one channel, when it did not let it pass.
type GateAnswer struct {
	Channel string `json:"channel"`
	Gate    string `json:"gate"`
	Answer  string `json:"answer"`
	Words   string `json:"words,omitempty"` // more than the answer, for people
}

// gateColumns holds the answers to store.
type gateColumns struct{ messages, answers []string }

// add takes the answers of a verdict; most have none.
func (g *gateColumns) add(messageID string, answers []GateAnswer) error {
	if len(answers) == 0 {
		return nil
	}
	encoded, err := json.Marshal(answers)
	if err != nil {
		return fmt.Errorf("encode the answers of gates: %w", err)
	}
	g.messages, g.answers = append(g.messages, messageID), append(g.answers, string(encoded))
	return nil
}

// queue stores the answers that differ from the last ones of their message.
func (g *gateColumns) queue(p *pipeline) {
	if len(g.messages) == 0 {
		return
	}
	p.exec(`insert into gate_answer (message_id, answers)
		select u.id::uuid, u.answers::jsonb from unnest($1::text[], $2::text[]) u (id, answers)
		where u.answers::jsonb is distinct from
			(select answers from gate_answer g where g.message_id = u.id::uuid order by g.id desc limit 1)`, g.messages, g.answers)
}
