package rule_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/router/rule"
)

const replyRules = `
rules:
  - name: confirmed
    on: reply
    object: Appointment__c
    when: conversation.rule == "appointment-reminder" && reply.word == "yes" && record.Status__c == "Confirmed"
    answer: appointment-confirmed
    language: record.Language__c
    vars: {first_name: record.First_Name__c}
  - name: rated
    on: reply
    when: reply.question == "rating" && reply.answer != ""
    ask: {name: why, template: ask-why, answers: [price, Service, 5], expires_after: 2h}
  - name: broken
    on: reply
    when: int(reply.text) > 3
    mark: true
  - name: anything-else
    on: reply
    when: reply.channel == "sms"
    webhook: https://example.com/hook
    mark: true
`

func replySet(t *testing.T, text string) (*rule.Set, error) {
	t.Helper()
	return rule.Load(fstest.MapFS{"r.yaml": {Data: []byte(text)}}, rule.Options{})
}

func TestDecideReply(t *testing.T) {
	t.Parallel()
	set, err := replySet(t, replyRules)
	require.NoError(t, err)
	require.Empty(t, set.Rules())
	require.Len(t, set.ReplyRules(), 4)
	in := rule.ReplyInput{
		Text: " YES! ", Channel: "sms", Object: "appointment__c", Conversation: rule.ConversationFacts{Rule: "appointment-reminder"},
		Record: rule.Snapshot{Seen: true, Fields: map[string]string{"Status__c": "Confirmed", "Language__c": "es", "First_Name__c": "Ana"}},
	}
	d := rule.DecideReply(set, in)
	require.Equal(t, notification.Matched, d.Outcome)
	require.Equal(t, &rule.ReplyAct{Rule: "confirmed", Template: "appointment-confirmed", Language: "es", Vars: map[string]any{"first_name": "Ana"}}, d.Act)
	require.Len(t, d.Results, 1, "the rules after it are not asked")

	in.Record = rule.Snapshot{} // an unknown field is null
	d = rule.DecideReply(set, in)
	require.Equal(t, "anything-else", d.Act.Rule)
	require.Equal(t, rule.VerdictError, d.Results[2].Verdict, "an error is the rule's own")
	require.True(t, d.Act.Mark)
	require.Equal(t, "https://example.com/hook", d.Act.Webhook)

	in = rule.ReplyInput{Text: "SERVICE.", Channel: "whatsapp", Question: "rating", Answers: []string{"price", "Service"}}
	d = rule.DecideReply(set, in)
	require.Equal(t, "Service", d.Answer)
	require.Equal(t, "why", d.Act.Ask.Name)
	require.Equal(t, []string{"price", "Service", "5"}, d.Act.Ask.Answers)
	in.Text = "the service was fine"
	d = rule.DecideReply(set, in)
	require.Empty(t, d.Answer)
	require.Nil(t, d.Act)
	require.Equal(t, notification.RuleError, d.Outcome)
	in.Text, in.Button = "1", "ask"
	require.Equal(t, notification.NoMatch, rule.DecideReply(set, in).Outcome)
	require.Equal(t, notification.NoMatch, rule.DecideReply(nil, in).Outcome)
}

const surveyRules = `
rules:
  - name: again
    on: reply
    when: reply.question == "why" && reply.answer == "" && reply.asked < 3
    ask: {name: why, template: ask-why-again, answers: [price, time]}
  - name: given
    on: reply
    when: reply.question == "why" && reply.answer != ""
    answer: thanks
  - name: remind
    on: timeout
    object: Case
    when: reply.question == "why" && reply.asked == 1 && record.Status == "Closed"
    ask: {name: why, template: ask-why-again, answers: [price, time]}
  - name: nobody-answers
    on: timeout
    when: reply.text == "" && reply.answer == ""
    mark: true
`

func TestQuestionsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	set, err := replySet(t, surveyRules)
	require.NoError(t, err)
	acts := func(in rule.ReplyInput) string {
		in.Question, in.Answers, in.Object = "why", []string{"price", "time"}, "Case"
		in.Record = rule.Snapshot{Seen: true, Fields: map[string]string{"Status": "Closed"}}
		if d := rule.DecideReply(set, in); d.Act != nil {
			return d.Act.Rule
		}
		return ""
	}
	require.Equal(t, "given", acts(rule.ReplyInput{Text: "Time.", Asked: 3}))
	require.Equal(t, "again", acts(rule.ReplyInput{Text: "the dog", Asked: 2}))
	require.Empty(t, acts(rule.ReplyInput{Text: "the dog", Asked: 3}), "rules for time-outs are not asked about replies")
	require.Equal(t, "remind", acts(rule.ReplyInput{TimedOut: true, Asked: 1}))
	require.Equal(t, "nobody-answers", acts(rule.ReplyInput{TimedOut: true, Asked: 2}))

	tests, err := rule.LoadTests(fstest.MapFS{"r_test.yaml": {Data: []byte(`
tests:
  - name: no answer
    reply: {question: why, timed_out: true}
    conversation: {object: Case}
    record: {Status: Closed}
    expect: [{rule: remind, ask: why}]
  - name: no answer again
    reply: {question: why, asked: 2, timed_out: true}
    expect: [{rule: nobody-answers, mark: true}]
  - name: an answer in the language of the conversation
    reply: {text: Time., question: why, answers: [time]}
    conversation: {object: Case, language: es}
    record: {Status: Closed}
    expect: [{rule: given, language: es, caps: []}]
  - name: something else, once too often
    reply: {text: hm, question: why, answers: [price], asked: 3}
    expect: []
`)}})
	require.NoError(t, err)
	for _, r := range rule.RunTests(set, tests, rule.Tools{}) {
		require.Empty(t, r.Failures, r.Name)
	}
	for text, want := range map[string]string{
		`{timed_out: true}`: "name it in question", `{question: q, timed_out: true, text: x}`: "has no text", `{question: q, asked: 0}`: "from 1 on",
	} {
		_, err = rule.LoadTests(fstest.MapFS{"r_test.yaml": {Data: []byte(`{tests: [{name: a, reply: ` + text + `, expect: []}]}`)}})
		require.ErrorContains(t, err, want)
	}
}

func TestWord(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"yes": "yes", " ¡Sí! ": "sí", "5.": "5", "": "", "!!": "", "yes please": "", "y\nn": "",
	} {
		require.Equal(t, want, rule.OneWord(text), text)
	}
}

func TestBadReplyRules(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{name: a, on: reply, when: 'true'}`:                                                               "does nothing",
		`{name: a, on: message, when: 'true', mark: true}`:                                                 "on is \"message\"",
		`{name: a, on: reply, when: 'true', mark: true, to: '"x"'}`:                                        "unknown key \"to\"",
		`{name: a, on: reply, mark: true}`:                                                                 "has no \"when\"",
		`{name: a, on: reply, when: 'changed("X")', mark: true}`:                                           "changed",
		`{name: a, on: reply, when: 'reply.txt == ""', mark: true}`:                                        "reply rules",
		`{name: a, on: reply, when: 'previous.X == ""', mark: true}`:                                       "previous",
		`{name: a, on: reply, when: 'true', webhook: 'ftp://x'}`:                                           "must be a URL",
		`{name: a, on: reply, when: 'true', webhook: 'https://u:p@x/'}`:                                    "without a user",
		`{name: a, on: reply, when: 'true', answer: t, ask: {name: q, template: t, answers: [a]}}`:         "both",
		`{name: a, on: reply, when: 'true', ask: {name: q, template: t, answers: []}}`:                     "1 to 50",
		`{name: a, on: reply, when: 'true', ask: {name: q, template: t, answers: [a, A]}}`:                 "twice",
		`{name: a, on: reply, when: 'true', ask: {name: q, template: t, answers: [a], expires_after: 1s}}`: "at least",
		`{name: a, object: C, when: 'reply.text == ""', to: '"x"', channels: [sms], template: t}`:          "reply rules",
	} {
		_, err := replySet(t, "rules:\n  - "+text+"\n")
		require.ErrorContains(t, err, want, text)
	}
}

func TestReplyTests(t *testing.T) {
	t.Parallel()
	set, err := replySet(t, replyRules)
	require.NoError(t, err)
	tests, err := rule.LoadTests(fstest.MapFS{"r_test.yaml": {Data: []byte(`
tests:
  - name: yes
    reply: {text: "yes"}
    conversation: {rule: appointment-reminder, object: Appointment__c}
    record: {Status__c: Confirmed, First_Name__c: Ana}
    expect: [{rule: confirmed, template: appointment-confirmed, vars: {first_name: Ana}, mark: false}]
  - name: rating
    reply: {text: "4", question: rating, answers: ["1", "4"], channel: whatsapp}
    expect: [{rule: rated, ask: why}]
  - name: something else
    reply: {text: "when?"}
    expect: [{rule: anything-else, mark: true, webhook: "https://example.com/hook"}, {rule: broken, error: conversion}]
  - name: wrong
    reply: {text: "yes"}
    expect: [{rule: confirmed}]
  - name: wrong, too
    reply: {text: "4", question: rating, answers: ["4"]}
    expect: [{rule: rated, ask: how, template: other}]
`)}})
	require.NoError(t, err)
	results := rule.RunTests(set, tests, rule.Tools{})
	for _, r := range results[:3] {
		require.Empty(t, r.Failures, r.Name)
	}
	require.NotEmpty(t, results[3].Failures)
	require.Len(t, results[4].Failures, 2)
	_, err = rule.LoadTests(fstest.MapFS{"r_test.yaml": {Data: []byte(`{tests: [{name: a, reply: {text: x}, previous: {}, expect: []}]}`)}})
	require.ErrorContains(t, err, "previous")
}

func TestAWebhookOverHTTPIsWarnedOf(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]int{"http://hooks.example.com/": 1, "https://hooks.example.com/": 0} {
		set, err := replySet(t, "rules: [{name: a, on: reply, when: 'true', webhook: '"+url+"'}]")
		require.NoError(t, err)
		require.Len(t, set.Warnings(), want, url)
	}
}

// What looks right and never happens: a rule behind one that matches everything, and an answer that is an opt-out.
func TestWarningsOfReplyRules(t *testing.T) {
	t.Parallel()
	set, err := rule.Load(fstest.MapFS{
		"a.yaml": {Data: []byte(`rules:
  - {name: some, on: reply, object: Case, when: 'true', mark: true}
  - {name: all, on: reply, when: 'true ', mark: true}
  - {name: late, on: timeout, when: 'true', mark: true}
`)},
		"b.yaml": {Data: []byte(`rules:
  - name: visit
    on: reply
    when: reply.word == "visit"
    ask: {name: visit, template: ask-visit, answers: [keep, Cancel, "baja", change]}
`)},
	}, rule.Options{})
	require.NoError(t, err)
	var all []string
	for _, w := range set.Warnings() {
		all = append(all, w.String())
	}
	require.Equal(t, []string{
		`b.yaml:2:1: rule "visit" is never asked: "all" (a.yaml:3) comes before it and matches all. Rules are asked by the names of their files, then in the order of the file`,
		`b.yaml:5:61: who writes the answer "Cancel" opts the person out, and no rule is asked: wait for another word`,
		`b.yaml:5:69: who writes the answer "baja" opts the person out, and no rule is asked: wait for another word`,
	}, all)
}
