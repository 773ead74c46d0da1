package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/router/rule"
	"github.com/beckonhq/beckon/templates"
)

func TestCompareTemplates(t *testing.T) {
	t.Parallel()
	const sid, shipped = "HX0123456789abcdef0123456789abcdef", "HX00000000000000000000000000000101"
	use := func(language, sid string, keys ...string) templates.ContentUse {
		return templates.ContentUse{Template: "hello", Language: language, SID: sid, Keys: keys, File: "hello.yaml"}
	}
	theirs := func(language, status string, keys ...string) []twilio.Template {
		return []twilio.Template{{SID: sid, Language: language, Status: status, Variables: keys}}
	}
	for name, c := range map[string]struct {
		ours         templates.ContentUse
		theirs       []twilio.Template
		status, says string
	}{
		"as used":              {use("en", sid, "1", "2"), theirs("en_US", "approved", "1", "2"), "", ""},
		"for every language":   {use("", sid), theirs("es", "approved"), "", ""},
		"a placeholder":        {use("en", shipped, "1"), nil, warning, "hello (en) " + shipped + " is a placeholder"},
		"not there":            {use("en", sid), nil, bad, "is not in the account"},
		"pending":              {use("en", sid), theirs("en", "pending"), bad, "is pending"},
		"variables of ours":    {use("en", sid, "1", "2"), theirs("en", "approved", "1"), bad, "the template has no variable 2"},
		"variables of theirs":  {use("en", sid), theirs("en", "approved", "1"), bad, "the file has no variable 1"},
		"in another language":  {use("en", sid), theirs("es", "approved"), warning, "is in the language es at Twilio"},
		"our own placeholders": {use("en", shipped), []twilio.Template{{SID: shipped, Language: "en", Status: "approved"}}, "", ""},
	} {
		got := compareTemplates([]templates.ContentUse{c.ours}, c.theirs, nil)
		if c.status == "" {
			require.Len(t, got, 1, name)
			require.Equal(t, "1 of 1 content_sid in the files are approved as they are used", got[0].Text, name)
			continue
		}
		require.Len(t, got, 2, name)
		require.Equal(t, c.status, got[0].Status, name)
		require.Contains(t, got[0].Text, c.says, name)
		require.NotEmpty(t, got[0].Advice, name)
	}
}

func TestCategoryDiffers(t *testing.T) {
	t.Parallel()
	sells, tells := &rule.Rule{Name: "sells", Purpose: message.Marketing}, &rule.Rule{Name: "tells", Purpose: message.Transactional}
	for _, c := range []struct {
		category string
		rules    []*rule.Rule
		want     string
	}{
		{"MARKETING", []*rule.Rule{sells}, ""},
		{"UTILITY", []*rule.Rule{tells}, ""},
		{"AUTHENTICATION", []*rule.Rule{tells}, ""},
		{"", []*rule.Rule{sells, tells}, ""},
		{"MARKETING", nil, ""},
		{"MARKETING", []*rule.Rule{sells, tells}, "is of the category MARKETING, and the rule tells is transactional"},
		{"UTILITY", []*rule.Rule{tells, sells}, "is of the category UTILITY, and the rule sells is marketing"},
	} {
		words, advice := categoryDiffers(c.category, c.rules)
		require.Equal(t, c.want, words)
		require.Equal(t, c.want == "", advice == "")
	}
}
