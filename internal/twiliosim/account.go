package twiliosim

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Approval is what the Content API says of a template beside its text.
type Approval struct {
	Name     string // default the SID
	Language string // default en
	Status   string // default approved
	Category string // default UTILITY
}

// account serves the parts of the API that describe the account.
func (s *Simulator) account(mux *http.ServeMux) {
	mux.HandleFunc("GET /2010-04-01/Accounts/{file}", s.authorized(s.fetchAccount))
	mux.HandleFunc("GET /2010-04-01/Accounts/{account}/IncomingPhoneNumbers.json", s.authorized(s.numbers))
	mux.HandleFunc("GET /v1/ContentAndApprovals", s.authorized(s.contents))
	mux.HandleFunc("GET /v2/Channels/Senders", s.authorized(s.channelSenders))
}

func (s *Simulator) fetchAccount(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("file") != s.cfg.AccountSID+".json" {
		writeError(w, http.StatusNotFound, codeNotFound)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"sid": s.cfg.AccountSID, "status": "active", "type": "Full", "friendly_name": "simulated"})
}

// owned lists the senders of a channel, without its prefix; any, when the configuration names none at all.
func (s *Simulator) owned(isWhatsApp bool) (numbers []string, anyNumber bool) {
	for sender := range s.senders {
		if bare, is := strings.CutPrefix(sender, whatsapp); is == isWhatsApp {
			numbers = append(numbers, bare)
		}
	}
	slices.Sort(numbers)
	return numbers, len(s.senders) == 0
}

func (s *Simulator) numbers(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query().Get("PhoneNumber")
	numbers, anyNumber := s.owned(false)
	if anyNumber && asked != "" {
		numbers = []string{asked}
	}
	found := []map[string]any{}
	for _, number := range numbers {
		if asked == "" || asked == number {
			found = append(found, map[string]any{
				"sid": "PN" + strings.Repeat("0", 32), "account_sid": s.cfg.AccountSID, "phone_number": number,
				"sms_url": s.cfg.InboundURL, "sms_method": "POST",
			})
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"incoming_phone_numbers": found, "page": 0, "page_size": defaultPageSize, "next_page_uri": nil})
}

// anySender is listed when the configuration names no sender: the one that a service without a pool has too.
func (s *Simulator) channelSenders(w http.ResponseWriter, _ *http.Request) {
	numbers, anyNumber := s.owned(true)
	if anyNumber {
		numbers = []string{defaultSender, "+14155238886"}
	}
	found := []map[string]any{}
	for _, number := range numbers {
		found = append(found, map[string]any{
			"sid": "XE" + strings.Repeat("0", 32), "status": "ONLINE", "sender_id": whatsapp + number,
			"webhook": map[string]any{"callback_url": s.cfg.InboundURL, "callback_method": "POST"},
		})
	}
	writeJSON(w, http.StatusOK, map[string]any{"senders": found, "meta": map[string]any{"page": 0, "next_page_url": nil, "key": "senders"}})
}

func (s *Simulator) contents(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.Atoi(r.URL.Query().Get("PageSize"))
	if err != nil || size < 1 {
		size = defaultPageSize
	}
	size = min(size, orInt(s.cfg.ContentPage, maxPageSize))
	page, _ := strconv.Atoi(r.URL.Query().Get("Page"))
	sids := slices.Sorted(maps.Keys(s.cfg.Templates))
	from := min(max(page, 0)*size, len(sids))
	to := min(from+size, len(sids))
	found := []map[string]any{}
	for _, sid := range sids[from:to] {
		found = append(found, s.content(sid))
	}
	meta := map[string]any{"page": page, "page_size": size, "key": "contents", "next_page_url": nil}
	if to < len(sids) {
		meta["next_page_url"] = "https://content.twilio.com" + link(r.URL, size, page+1, "PT"+sids[to-1])
	}
	writeJSON(w, http.StatusOK, map[string]any{"contents": found, "meta": meta})
}

func (s *Simulator) content(sid string) map[string]any {
	a := s.cfg.Approvals[sid]
	variables := map[string]string{}
	for _, found := range regexp.MustCompile(`{{(\w+)}}`).FindAllStringSubmatch(s.cfg.Templates[sid], -1) {
		variables[found[1]] = "sample"
	}
	or := func(text, fallback string) string {
		if text == "" {
			return fallback
		}
		return text
	}
	name := or(a.Name, strings.ToLower(sid))
	return map[string]any{
		"sid": sid, "account_sid": s.cfg.AccountSID, "friendly_name": name, "language": or(a.Language, "en"), "variables": variables,
		"types": map[string]any{"twilio/text": map[string]any{"body": s.cfg.Templates[sid]}},
		"approval_requests": map[string]any{
			"name": name, "status": or(a.Status, "approved"), "category": or(a.Category, "UTILITY"), "rejection_reason": "",
		},
	}
}
