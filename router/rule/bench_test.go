package rule_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/router/rule"
)

// BenchmarkDecide asks ten rules about a notification of thirty fields; one rule matches.
func BenchmarkDecide(b *testing.B) {
	var text strings.Builder
	text.WriteString("rules:\n")
	for i := range 10 {
		fmt.Fprintf(&text, `
  - name: rule-%d
    object: Thing
    when: record.StageName == "Stage %d" && changed("StageName")
    to: record.Contact_Mobile__c
    contact: record.ContactId
    channels: [whatsapp, sms]
    template: t
    language: record.Language__c
    vars:
      first_name: record.Contact_First_Name__c
      link: '"https://example.com/start/" + record.Id'
`, i, i)
	}
	set := load(b, text.String())
	fields := []string{
		"StageName", "Stage 7", "Contact_Mobile__c", "+14155550123", "ContactId", "003000000000001AAA",
		"Language__c", "es", "Contact_First_Name__c", "Ana",
	}
	for i := range 24 {
		fields = append(fields, fmt.Sprintf("Field_%02d__c", i), "value")
	}
	in := previously(input(fields...), "StageName", "Stage 6")
	require.Equal(b, notification.Matched, rule.Decide(set, in).Outcome)

	b.Run("one of ten matches", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rule.Decide(set, in)
		}
	})
	b.Run("next snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			set.NextSnapshot(in)
		}
	})
}
