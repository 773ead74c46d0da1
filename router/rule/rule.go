package rule

import (
	"slices"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/message"
)

// Once limits a rule to one message per record or per recipient.
type Once string

// The values of `once:`.
const (
	OnceNever     Once = ""          // every match makes a message
	OncePerRecord Once = "record"    // one message per record for this rule
	OncePerPerson Once = "recipient" // one message per recipient for this rule
)

// QuietHours says what a rule's messages do when quiet hours are on: a name, or one of the two below.
type QuietHours string

// The values of `quiet_hours:` that are not a name.
const (
	QuietHoursIgnore  QuietHours = "ignore"  // default for transactional messages
	QuietHoursRespect QuietHours = "respect" // default for marketing messages
)

// Place has what a rule says of where a recipient is: the CEL texts in a Rule, the values in a Draft. All may be empty.
type Place struct {
	TimeZone   string `json:"time_zone,omitempty"`
	Country    string `json:"country,omitempty"`
	State      string `json:"state,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
}

// Rule is one rule of a file, checked. Treat it as read-only: a Set shares it between goroutines.
type Rule struct {
	Name          string            `json:"name"`
	Description   string            `json:"description,omitempty"`
	Object        string            `json:"object"`
	When          string            `json:"when"` // the CEL text, as are To, Contact, Language and the values of Vars
	To            string            `json:"to"`
	Contact       string            `json:"contact,omitempty"`
	Language      string            `json:"language,omitempty"`
	Vars          map[string]string `json:"vars,omitempty"`
	Channels      []message.Channel `json:"channels"`
	Template      string            `json:"template"`
	Sender        string            `json:"sender"` // default when the file names none
	Purpose       message.Purpose   `json:"purpose"`
	Program       string            `json:"program"` // default when the file names none
	QuietHours    QuietHours        `json:"quiet_hours"`
	Place         Place             `json:"place,omitzero"`
	Breaker       *Breaker          `json:"breaker,omitempty"`
	OptOutBreaker *OptOutBreaker    `json:"opt_out_breaker,omitempty"`
	Once          Once              `json:"once,omitempty"`
	Delay         time.Duration     `json:"delay,omitempty"` // nanoseconds
	// ExpiresAfter is how long after the first moment at which sending is permitted a message may be sent; nanoseconds.
	ExpiresAfter time.Duration `json:"expires_after"`
	File         string        `json:"file"`
	Line         int           `json:"line"`

	// RecordFields and PreviousFields are the fields that the expressions name, sorted; changed("X") reads X of both.
	RecordFields   []string `json:"record_fields"`
	PreviousFields []string `json:"previous_fields"`

	when, to, contact, language *expression // contact and language may be nil
	vars                        []variable  // in the order of the file
	place                       []variable  // the same
}

type variable struct {
	name string
	expr *expression
}

// Set is every rule of a folder, checked and indexed. It is immutable. The nil Set has no rules.
type Set struct {
	rules    []*Rule
	replies  []*ReplyRule
	caps     []message.Cap
	objects  map[string]*object // by lower-case object name
	version  string
	warnings []Problem
}

// object is what the Set knows about one sObject.
type object struct {
	rules    []*Rule
	mappings []*Mapping
	schema   *schema // nil without a WSDL
}

// Version is a short hash of the files that the Set was made from: the same bytes under the same names give the same
// version.
func (s *Set) Version() string {
	if s == nil {
		return ""
	}
	return s.version
}

// Len is the number of rules, those for replies too.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.rules) + len(s.replies)
}

// Rules gives all rules about notifications, by file name and then in the order of the file.
func (s *Set) Rules() []*Rule {
	if s == nil {
		return nil
	}
	return slices.Clone(s.rules)
}

// ForObject gives the rules of an sObject in the order of Rules. Case does not matter, as in Salesforce.
func (s *Set) ForObject(name string) []*Rule {
	if o := s.object(name); o != nil {
		return slices.Clone(o.rules)
	}
	return nil
}

// Mappings gives the names of the items of `consent:` of an sObject.
func (s *Set) Mappings(object string) []string {
	o := s.object(object)
	if o == nil {
		return nil
	}
	names := make([]string, len(o.mappings))
	for i, m := range o.mappings {
		names[i] = m.Name
	}
	return names
}

// Warnings are remarks about files that are usable as they are.
func (s *Set) Warnings() []Problem {
	if s == nil {
		return nil
	}
	return slices.Clone(s.warnings)
}

func (s *Set) object(name string) *object {
	if s == nil {
		return nil
	}
	if o := s.objects[name]; o != nil {
		return o
	}
	return s.objects[strings.ToLower(name)]
}
