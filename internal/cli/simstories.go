package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/beckonhq/beckon/internal/salesforcesim"
)

const (
	storyClosedWon     = "closed-won"
	storyCaseEscalated = "case-escalated"
	storyCaseClosed    = "case-closed"
)

// person is somebody in a story, in one run of it. The numbers are from the range 555-0100 to 555-0199, which belongs to nobody.
type person struct {
	name, language, mobile, contact string

	run uint64
}

// story tells what happens to the i-th record. The changes fit the rules that ship with Beckon.
type story struct {
	about string
	tell  func(i int, who person) []change
}

func stories() map[string]story {
	return map[string]story{
		storyClosedWon:     {"an Opportunity goes from Prospecting over Negotiation to Closed Won", closedWon},
		storyCaseEscalated: {"a Case is opened, looked at and escalated", caseThat("Escalated", "IsEscalated")},
		storyCaseClosed:    {"a Case is opened, looked at and closed", caseThat("Closed", "IsClosed")},
	}
}

func storyHelp() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(stories())) {
		fmt.Fprintf(&b, "  %-15s  %s\n", name, stories()[name].about)
	}
	return b.String()
}

// recordID makes an id of 15 characters for the i-th record of a run. Another run has other records: for a rule with
// once: record nothing would happen the second time.
func recordID(prefix string, run uint64, i int) string {
	const runs = 36 * 36 * 36 * 36 * 36 * 36
	return fmt.Sprintf("%s%s%06d", prefix, fmt.Sprintf("%06s", strings.ToUpper(strconv.FormatUint(run%runs, 36))), i+1)
}

func closedWon(i int, who person) []change {
	id := recordID("006", who.run, i)
	var changes []change
	for _, stage := range []string{"Prospecting", "Negotiation/Review", "Closed Won"} {
		changes = append(changes, change{"Opportunity", salesforcesim.Record{
			"Id": id, "Name": fmt.Sprintf("Deal %d", i+1), "StageName": stage, "Amount": 1000.0 * float64(i+1), "ContactId": who.contact,
			"Contact_Mobile__c": who.mobile, "Contact_First_Name__c": who.name, "Language__c": who.language,
		}, "StageName is " + stage})
	}
	return changes
}

// caseThat tells of a Case that gets to a status, which ticks a box.
func caseThat(end, box string) func(i int, who person) []change {
	return func(i int, who person) []change {
		id := recordID("500", who.run, i)
		var changes []change
		for _, status := range []string{"New", "Working", end} {
			record := salesforcesim.Record{
				"Id": id, "CaseNumber": fmt.Sprintf("%08d", 1000+i), "Status": status, "IsEscalated": false, "IsClosed": false,
				"ContactId": who.contact, "Contact_Mobile__c": who.mobile, "Contact_First_Name__c": who.name, "Language__c": who.language,
			}
			record[box] = status == end
			changes = append(changes, change{"Case", record, "Status is " + status})
		}
		return changes
	}
}

// person is who the i-th record is about.
func (f *salesforceFlags) person(i int) person {
	names := []string{"Ana", "Ben", "Chloe", "Diego", "Emma", "Farid", "Grace", "Hugo"}
	languages := []string{"es", "en", "en", "es"}
	const numbers = 100 // 555-0100 to 555-0199
	who := person{
		name: names[i%len(names)], language: languages[i%len(languages)], contact: recordID("003", f.seed, i), run: f.seed,
		mobile: fmt.Sprintf("+1415555%04d", numbers+i%numbers),
	}
	if len(f.to) > 0 {
		who.mobile = f.to[i%len(f.to)]
	}
	return who
}

// changes are the records given, or the story step by step: first the first step of every record.
func (f *salesforceFlags) changes() ([]change, error) {
	if len(f.records) > 0 {
		return f.given()
	}
	var told [][]change
	for i := range f.count {
		told = append(told, stories()[f.story].tell(i, f.person(i)))
	}
	var changes []change
	for step := range told[0] {
		for _, one := range told {
			changes = append(changes, one[step])
		}
	}
	return changes, nil
}

func (f *salesforceFlags) given() ([]change, error) {
	var changes []change
	for _, text := range f.records {
		fields, err := parseFields("--record", []byte(text))
		if err != nil {
			return nil, err
		}
		record, names := salesforcesim.Record{}, []string{}
		for _, field := range fields {
			record[field.Name] = field.Value // the empty text is null
			names = append(names, field.Name)
		}
		changes = append(changes, change{f.object, record, "changed " + strings.Join(names, ", ")})
	}
	return changes, nil
}
