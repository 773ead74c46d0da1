package salesforce

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
)

// second is a message of two notifications, the second with old replaced by new. Its fields are spelt like those of the
// first, so that they are read the quick way, which must see the same as the general way.
func second(old, replacement string) string {
	if !strings.Contains(testNote, old) {
		panic("the notification does not contain " + old)
	}
	return testHead + testOrg + testNote + strings.Replace(testNote, old, replacement, 1) + testTail
}

func TestQuickFieldAccepts(t *testing.T) {
	t.Parallel()
	const id = "0035g00000Ab1cDAAS"
	for _, test := range []struct {
		name, body string
		want       []notification.Field
	}{
		{"same", second("Ada", "Ada"), []notification.Field{{Name: "Id", Value: id}, {Name: "Name", Value: "Ada"}}},
		{"empty", second("Ada", ""), []notification.Field{{Name: "Id", Value: id}, {Name: "Name"}}},
		{"reference", second("Ada", "A&#100;a"), []notification.Field{{Name: "Id", Value: id}, {Name: "Name", Value: "Ada"}}},
		{"CDATA", second("Ada", "<![CDATA[Ada]]>"), []notification.Field{{Name: "Id", Value: id}, {Name: "Name", Value: "Ada"}}},
		{"line end", second("Ada", "A\r\nda"), []notification.Field{{Name: "Id", Value: id}, {Name: "Name", Value: "A\nda"}}},
		{"nil", second("<sf:Name>Ada</sf:Name>", `<sf:Name xsi:nil="1"/>`), []notification.Field{{Name: "Id", Value: id}, {Name: "Name", Null: true}}},
		{"without id", second("<sf:Id>"+id+"</sf:Id>", ""), []notification.Field{{Name: "Name", Value: "Ada"}}},
		{"new field", second("<sf:Name>", "<sf:Nam>x</sf:Nam><sf:Name>"), []notification.Field{{Name: "Id", Value: id}, {Name: "Nam", Value: "x"}, {Name: "Name", Value: "Ada"}}},
		{"to null", second("<sf:Name>Ada</sf:Name>", "<sf:fieldsToNull>Name</sf:fieldsToNull>"), []notification.Field{{Name: "Id", Value: id}, {Name: "Name", Null: true}}},
		{"no fields", second("<sf:Id>"+id+"</sf:Id><sf:Name>Ada</sf:Name>", ""), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			env, err := Decode([]byte(test.body), DefaultLimits())
			require.NoError(t, err)
			require.Equal(t, test.want, env.Notifications[1].Fields)
			require.True(t, agrees(t, []byte(test.body)))
		})
	}
}

func TestQuickFieldRefuses(t *testing.T) {
	t.Parallel()
	const name = "<sf:Name>Ada</sf:Name>"
	for _, test := range []refusal{
		{"prefix bound elsewhere", second(uriSObject, "urn:x"), "a field outside of the namespace of sObjects"},
		{"prefix not bound", second(`xsi:type="sf:Contact" xmlns:sf="`+uriSObject+`"`, ""), "an element with an unbound prefix"},
		{"CDATA end", second("Ada", "]]>"), "]]> in text"},
		{"bad reference", second("Ada", "&x;"), "an entity other than lt, gt, amp, apos and quot, or no XML character"},
		{"wrong end", second("</sf:Name>", "</sf:Id>"), "an end tag that does not match its start tag"},
		{"element inside", second("Ada", "<sf:Id>x</sf:Id>"), "an element inside of a value"},
		{"field twice", second(name, name+name), "a field that comes twice in an sObject"},
		{"field twice, in another order", second("<sf:Id>", name+"<sf:Id>"), "a field that comes twice in an sObject"},
		{"bad record id", second("0035g00000Ab1cDAAS", "x"), "the Id of an sObject is not a Salesforce id"},
		{"behind an empty sObject", second(`"><sf:Id>0035g00000Ab1cDAAS</sf:Id>`, `"/>`), "an element with an unbound prefix"},
		{"nil sObject", second("<sObject", `<sObject xsi:nil="true"`), "an sObject that is nil holds a field"},
		{"cut off", second(name, "")[:strings.LastIndex(second(name, ""), "</sObject>")] + "<sf:Name>Ada", "the document ends before its elements do"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := Decode([]byte(test.body), DefaultLimits())
			require.ErrorContains(t, err, test.reason)
		})
	}
	other := strings.Replace(testNote, name, "<sf:B>1</sf:B>", 1)
	both := strings.Replace(testNote, name, name+"<sf:B>1</sf:B>", 1)
	body := []byte(testHead + testOrg + testNote + other + both + testTail)
	_, err := Decode(body, Limits{MaxFields: 3})
	require.NoError(t, err)
	_, err = Decode(body, Limits{MaxFields: 2})
	require.ErrorContains(t, err, "too many fields")
}
