package salesforce

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type refusal struct {
	name, body, reason string
}

const (
	testHead = `<s:Envelope xmlns:s="` + uriSOAP11 + `" xmlns:xsi="` + uriInstance + `"><s:Body><notifications xmlns="` + uriOutbound + `">`
	testOrg  = `<OrganizationId>00D5g000004QxYzEAK</OrganizationId>`
	testNote = `<Notification><Id>04l5g00000000aaAAA</Id><sObject xsi:type="sf:Contact" xmlns:sf="` + uriSObject +
		`"><sf:Id>0035g00000Ab1cDAAS</sf:Id><sf:Name>Ada</sf:Name></sObject></Notification>`
	testTail = `</notifications></s:Body></s:Envelope>`
	testGood = testHead + testOrg + testNote + testTail
)

// instead is the good message with its first old replaced by new.
func instead(old, replacement string) string {
	if !strings.Contains(testGood, old) {
		panic("the good message does not contain " + old)
	}
	return strings.Replace(testGood, old, replacement, 1)
}

func refusals() []refusal {
	all := refusedCharacters()
	all = append(all, refusedMarkup()...)
	all = append(all, refusedNamespaces()...)
	return append(all, refusedStructure()...)
}

func refusedCharacters() []refusal {
	return []refusal{
		{"empty", "", "the document holds no element"},
		{"space only", " \n", "the document holds no element"},
		{"JSON", `{"Ack":true}`, "text outside of the root element"},
		{"UTF-16", "\xFE\xFF\x00<", "the encoding is UTF-16, only UTF-8 is accepted"},
		{"UTF-16 little-endian", "\xFF\xFE<\x00", "the encoding is UTF-16, only UTF-8 is accepted"},
		{"invalid UTF-8", instead("Ada", "Ad\xE4"), "not valid UTF-8"},
		{"surrogate in UTF-8", instead("Ada", "\xED\xA0\x80"), "not valid UTF-8"},
		{"overlong UTF-8", instead("Ada", "\xC0\xBC"), "not valid UTF-8"},
		{"control", instead("Ada", "A\x01"), "a control character that XML does not allow"},
		{"null byte at the end", testGood + "\x00", "a control character that XML does not allow"},
		{"noncharacter", instead("Ada", "\uFFFF"), "a character that XML does not allow"},
		{"declared Latin 1", `<?xml version="1.0" encoding="ISO-8859-1"?>` + testGood, "the declared encoding is not UTF-8"},
		{"declared UTF-16", `<?xml version="1.0" encoding="UTF-16"?>` + testGood, "the declared encoding is not UTF-8"},
		{"ASCII that is not", `<?xml version="1.0" encoding="US-ASCII"?>` + instead("Ada", "Zo\u00eb"), "the declared encoding is not UTF-8"},
		{"version", `<?xml version="2.0"?>` + testGood, "the XML declaration has no version 1.0"},
		{"no version", `<?xml encoding="UTF-8"?>` + testGood, "the XML declaration has no version 1.0"},
		{"declaration order", `<?xml version="1.0" standalone="no" encoding="UTF-8"?>` + testGood, "the XML declaration is not well-formed"},
		{"declaration reference", `<?xml version="1&#46;0"?>` + testGood, "the XML declaration is not well-formed"},
		{"standalone", `<?xml version="1.0" standalone="maybe"?>` + testGood, "standalone is neither yes nor no"},
		{"two declarations", strings.Repeat(`<?xml version="1.0"?>`, 2) + testGood, "a processing instruction; SOAP 1.1 allows none"},
		{"custom entity", instead("Ada", "&nbsp;"), "an entity other than lt, gt, amp, apos and quot, or no XML character"},
		{"empty reference", instead("Ada", "&#;"), "an entity other than lt, gt, amp, apos and quot, or no XML character"},
		{"empty hex reference", instead("Ada", "&#x;"), "an entity other than lt, gt, amp, apos and quot, or no XML character"},
		{"reference to null", instead("Ada", "&#0;"), "an entity other than lt, gt, amp, apos and quot, or no XML character"},
		{"reference to a surrogate", instead("Ada", "&#xD800;"), "an entity other than lt, gt, amp, apos and quot, or no XML character"},
		{"huge reference", instead("Ada", "&#99999999999999999999;"), "an entity other than lt, gt, amp, apos and quot, or no XML character"},
		{"hex capital X", instead("Ada", "&#X41;"), "an entity other than lt, gt, amp, apos and quot, or no XML character"},
		{"lone ampersand", instead("Ada", "Q & A"), "an ampersand that begins no reference"},
		{"lone ampersand in stray text", instead("<Notification>", "& <Notification>"), "an ampersand that begins no reference"},
		{"CDATA end in text", instead("Ada", "]]>"), "]]> in text"},
	}
}

func refusedMarkup() []refusal {
	return []refusal{
		{"DOCTYPE", `<!DOCTYPE s:Envelope [<!ENTITY a "b">]>` + testGood, "a DOCTYPE or another declaration; SOAP 1.1 allows none"},
		{"DOCTYPE inside", instead("<Notification>", "<!DOCTYPE x><Notification>"), "a DOCTYPE or another declaration; SOAP 1.1 allows none"},
		{"processing instruction", instead("<Notification>", "<?x y?><Notification>"), "a processing instruction; SOAP 1.1 allows none"},
		{"two hyphens in a comment", instead("<Notification>", "<!-- a -- b --><Notification>"), "a comment that does not end, or holds two hyphens"},
		{"open comment", testGood + "<!-- a", "a comment that does not end, or holds two hyphens"},
		{"open CDATA", instead("Ada", "<![CDATA["), "a CDATA section that does not end"},
		{"CDATA outside", testGood + "<![CDATA[]]>", "text outside of the root element"},
		{"text before", "x" + testGood, "text outside of the root element"},
		{"text behind", testGood + "x", "text outside of the root element"},
		{"second root", testGood + "<a/>", "a second root element"},
		{"end tag behind", testGood + "</a>", "an end tag without a start tag"},
		{"truncated", strings.TrimSuffix(testGood, "</s:Envelope>"), "the document ends before its elements do"},
		{"truncated in a tag", testGood[:len(testGood)-1], "an end tag that does not match its start tag"},
		{"truncated in a start tag", "<a b='c' ", "the document ends inside of a tag"},
		{"truncated at a tag", "<", "the document ends inside of a tag"},
		{"mismatched tags", instead("</sf:Name>", "</sf:Nama>"), "an end tag that does not match its start tag"},
		{"end tag with more", instead("</sf:Name>", "</sf:Name x>"), "an end tag that does not match its start tag"},
		{"end tag longer", instead("</sf:Name>", "</sf:Name2>"), "an end tag that does not match its start tag"},
		{"name begins with a digit", instead("<Notification>", "<1/><Notification>"), "expected a name of ASCII letters, digits, '.', '-' and '_'"},
		{"name outside ASCII", instead("<Notification>", "<\u00e4/><Notification>"), "expected a name of ASCII letters, digits, '.', '-' and '_'"},
		{"name goes on outside ASCII", instead("<Notification>", "<a\u00e4/><Notification>"), "expected white space, '>' or '/>' in a tag"},
		{"space before name", instead("<Notification>", "< a/><Notification>"), "expected a name of ASCII letters, digits, '.', '-' and '_'"},
		{"repeated attribute", instead("<Notification>", `<Notification a="1" a="2">`), "a repeated attribute"},
		{"no space between attributes", instead("<Notification>", `<Notification a="1"b="2">`), "expected white space, '>' or '/>' in a tag"},
		{"attribute without value", instead("<Notification>", `<Notification a>`), "an attribute without a value"},
		{"attribute without quotes", instead("<Notification>", `<Notification a=1>`), "an attribute value without quotes"},
		{"attribute does not end", "<a b='", "an attribute value that does not end"},
		{"less-than in attribute", instead("<Notification>", `<Notification a="<">`), "'<' in an attribute value"},
		{"entity in attribute", instead("<Notification>", `<Notification a="&x;">`), "an entity other than lt, gt, amp, apos and quot, or no XML character"},
		{"slash in a tag", instead("<Notification>", `<Notification / >`), "expected a name of ASCII letters, digits, '.', '-' and '_'"},
		{"deep", instead("<Notification>", strings.Repeat("<a>", 40)), "elements are nested too deeply"},
		{"many attributes", instead("<Notification>", "<Notification"+numbered(65, ` a%d=""`)+">"), "too many attributes"},
		{"many declarations", instead("<Notification>", "<Notification"+numbered(62, ` xmlns:a%d="u"`)+">"), "too many namespace declarations"},
	}
}

func refusedNamespaces() []refusal {
	return []refusal{
		{"unbound element prefix", instead("<Notification>", "<x:a/><Notification>"), "an element with an unbound prefix"},
		{"unbound attribute prefix", instead("<Notification>", `<Notification x:a="1">`), "an attribute with an unbound prefix"},
		{"prefix out of scope", instead("</Notification>", "</Notification><sf:a/>"), "an element with an unbound prefix"},
		{"unbound type prefix", instead(`"sf:Contact"`, `"ent:Contact"`), "xsi:type with an unbound prefix"},
		{"empty type prefix", instead(`"sf:Contact"`, `":Contact"`), "xsi:type with an unbound prefix"},
		{"empty type", instead(`"sf:Contact"`, `""`), "xsi:type is not an object name"},
		{"type is no name", instead(`"sf:Contact"`, `"sf:Con tact"`), "xsi:type is not an object name"},
		{"two colons", instead("<Notification>", "<s:a:b/><Notification>"), "expected white space, '>' or '/>' in a tag"},
		{"colon first", instead("<Notification>", "<:a/><Notification>"), "a bad name before a colon"},
		{"colon last", instead("<Notification>", "<s:/><Notification>"), "expected a name of ASCII letters, digits, '.', '-' and '_'"},
		{"same expanded attribute", instead("<Notification>", `<Notification xmlns:a="u" xmlns:b="u" a:x="" b:x="">`), "a repeated attribute"},
		{"repeated declaration", instead("<Notification>", `<Notification xmlns:a="u" xmlns:a="v">`), "a repeated attribute"},
		{"repeated default declaration", instead("<Notification>", `<Notification xmlns="u" xmlns="u">`), "a repeated attribute"},
		{"prefix undeclared", instead("<Notification>", `<Notification xmlns:a="">`), "a prefix bound to no namespace"},
		{"xmlns declared", instead("<Notification>", `<Notification xmlns:xmlns="u">`), "a declaration of a reserved prefix or namespace"},
		{"xmlns element", instead("<Notification>", `<xmlns:a/><Notification>`), "an element with an unbound prefix"},
		{"xml bound elsewhere", instead("<Notification>", `<Notification xmlns:xml="u">`), "a declaration of a reserved prefix or namespace"},
		{"another prefix for xml", instead("<Notification>", `<Notification xmlns:a="`+uriXML+`">`), "a declaration of a reserved prefix or namespace"},
		{"a prefix for xmlns", instead("<Notification>", `<Notification xmlns:a="`+uriXMLNS+`">`), "a declaration of a reserved prefix or namespace"},
		{"SOAP 1.2", instead(uriSOAP11, uriSOAP12), "a SOAP 1.2 envelope, only SOAP 1.1 is accepted"},
		{"not SOAP", instead(uriSOAP11, "urn:x"), "the root element is not a SOAP 1.1 Envelope"},
		{"another root", "<a/>", "the root element is not a SOAP 1.1 Envelope"},
		{"Body elsewhere", instead("<s:Body>", `<Body/><s:Body>`), "a Body outside of the SOAP 1.1 namespace"},
		{"notifications elsewhere", instead(uriOutbound, "urn:x"), "the Body holds an element that is not an outbound message"},
		{"Notification elsewhere", instead("<Notification>", `<Notification xmlns="u">`), "an element of an outbound message is outside of its namespace"},
		{"Id elsewhere", instead("<Id>", `<Id xmlns="u">`), "an element of an outbound message is outside of its namespace"},
		{"field elsewhere", instead("<sf:Name>Ada</sf:Name>", "<Name>Ada</Name>"), "a field outside of the namespace of sObjects"},
	}
}

func refusedStructure() []refusal {
	typed := func(object string) string { return strings.Replace(testNote, "sf:Contact", "sf:"+object, 1) }
	return []refusal{
		{"no Body", `<s:Envelope xmlns:s="` + uriSOAP11 + `"/>`, "the Envelope has no Body"},
		{"empty Body", `<s:Envelope xmlns:s="` + uriSOAP11 + `"><s:Body/></s:Envelope>`, "the Body holds no notifications element"},
		{"second Body", instead("</s:Body>", "</s:Body><s:Body/>"), "a second Body"},
		{"second notifications", instead("</notifications>", `</notifications><notifications xmlns="`+uriOutbound+`"/>`), "a second notifications element"},
		{"something else in the Body", instead("<s:Body>", "<s:Body><a/>"), "the Body holds an element that is not an outbound message"},
		{"no organisation", testHead + testNote + testTail, "no OrganizationId"},
		{"second organisation", testHead + testOrg + testOrg + testNote + testTail, "a second OrganizationId"},
		{"second organisation behind", testHead + testOrg + testNote + testOrg + testTail, "a second OrganizationId"},
		{"empty organisation", instead("00D5g000004QxYzEAK", ""), "OrganizationId is not an organisation id"},
		{"nil organisation", instead(testOrg, `<OrganizationId xsi:nil="true"/>`), "OrganizationId is not an organisation id"},
		{"organisation prefix", instead("00D5g000004QxYzEAK", "0035g000004QxYzEAK"), "OrganizationId is not an organisation id"},
		{"organisation length", instead("00D5g000004QxYzEAK", "00D5g000004QxYzE"), "OrganizationId is not an organisation id"},
		{"element in an id", instead("00D5g000004QxYzEAK", "<a/>"), "an element inside of a value"},
		{"second action", instead("<Notification>", "<ActionId/><ActionId/><Notification>"), "a second ActionId"},
		{"bad action", instead("<Notification>", "<ActionId>x</ActionId><Notification>"), "ActionId is not a Salesforce id"},
		{"no notification", testHead + testOrg + testTail, "no Notification"},
		{"too many", testHead + testOrg + strings.Repeat(testNote, 101) + testTail, "too many notifications"},
		{"notification without an id", instead("<Id>04l5g00000000aaAAA</Id>", ""), "a Notification without an Id"},
		{"notification with an empty id", instead("04l5g00000000aaAAA", " "), "a Notification without an Id"},
		{"notification with a bad id", instead("04l5g00000000aaAAA", "04l5g00000000aa-AA"), "the Id of a Notification is not a Salesforce id"},
		{"two ids", instead("<Id>", "<Id/><Id>"), "a second Id in a Notification"},
		{"no sObject", testHead + testOrg + "<Notification><Id>04l5g00000000aaAAA</Id></Notification>" + testTail, "a Notification without an sObject"},
		{"two sObjects", instead("</sObject>", "</sObject><sObject/>"), "a second sObject in a Notification"},
		{"two types", testHead + testOrg + testNote + typed("Lead") + testTail, "more than one object type"},
		{"types by case", testHead + testOrg + testNote + typed("contact") + testTail, "more than one object type"},
		{"bad record id", instead("0035g00000Ab1cDAAS", "0035g00000Ab1cDAA"), "the Id of an sObject is not a Salesforce id"},
		{"field twice", instead("<sf:Name>", "<sf:Name/><sf:Name>"), "a field that comes twice in an sObject"},
		{"field and fieldsToNull", instead("<sf:Name>", "<sf:fieldsToNull>Name</sf:fieldsToNull><sf:Name>"), "a field that comes twice in an sObject"},
		{"bad fieldsToNull", instead("<sf:Name>", "<sf:fieldsToNull>a b</sf:fieldsToNull><sf:Name>"), "fieldsToNull does not hold a field name"},
		{"compound field", instead("Ada", "<sf:First>Ada</sf:First>"), "an element inside of a value"},
		{"nil with text", instead("<sf:Name>", `<sf:Name xsi:nil="true">`), "a field that is nil holds text"},
		{"bad nil", instead("<sf:Name>", `<sf:Name xsi:nil="yes">`), "xsi:nil is neither true nor false"},
		{"nil sObject with fields", instead("<sObject", `<sObject xsi:nil="true"`), "an sObject that is nil holds a field"},
		{"many fields", instead("<sf:Name>", numbered(2000, "<sf:F%d/>")+"<sf:Name>"), "too many fields in an sObject"},
	}
}

func numbered(count int, format string) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	_, err := Decode([]byte(testGood), DefaultLimits())
	require.NoError(t, err)
	for _, refusal := range refusals() {
		t.Run(refusal.name, func(t *testing.T) {
			t.Parallel()
			env, err := Decode([]byte(refusal.body), DefaultLimits())
			var bad *MalformedError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, refusal.reason, bad.Reason)
			require.Nil(t, env)
		})
	}
}

// The offset points at the place, and the message holds nothing of the document.
func TestMalformedErrorPlace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		body string
		want int
	}{
		{instead("Ada", "Ada \x02"), strings.Index(testGood, "Ada") + 4},
		{instead("Ada", "Ada &secret;"), strings.Index(testGood, "Ada") + 4},
		{instead("Ada", "Ada Ad\xE4"), strings.Index(testGood, "Ada") + 6},
		{instead("Ada", "\u5c71 \uFFFE"), strings.Index(testGood, "Ada") + 4},
		{instead("0035g00000Ab1cDAAS", "secret"), strings.Index(testGood, "<sf:Id>")},
		{byteOrderMark + "\n<s:Envelope/>", 4},
	} {
		_, err := Decode([]byte(test.body), DefaultLimits())
		var bad *MalformedError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, test.want, bad.Offset, bad.Reason)
		require.NotContains(t, err.Error(), "secret")
		require.Contains(t, err.Error(), fmt.Sprintf("at byte %d: %s", bad.Offset, bad.Reason))
	}
}

// Every beginning of a good message is refused.
func TestDecodeRefusesEveryTruncation(t *testing.T) {
	t.Parallel()
	for end := range len(testGood) {
		_, err := Decode([]byte(testGood[:end]), DefaultLimits())
		require.Error(t, err, end)
	}
}

func TestDecodeOwnLimits(t *testing.T) {
	t.Parallel()
	body := []byte(testHead + testOrg + testNote + testNote + testTail)
	exact := Limits{MaxNotifications: 2, MaxDepth: 6, MaxAttributes: 4, MaxFields: 2}
	_, err := Decode(body, exact)
	require.NoError(t, err)
	for reason, limits := range map[string]Limits{
		"too many notifications":          {MaxNotifications: 1},
		"elements are nested too deeply":  {MaxDepth: 5},
		"too many namespace declarations": {MaxAttributes: 3},
		"too many fields in an sObject":   {MaxFields: 1},
	} {
		_, err := Decode(body, limits)
		require.ErrorContains(t, err, reason)
	}
}
