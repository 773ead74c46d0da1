package twiliosim

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beckonhq/beckon/internal/twilio"
)

const (
	apiVersion      = "2010-04-01"
	maxRequest      = 1 << 20
	defaultPageSize = 50
	maxPageSize     = 1000
)

func (s *Simulator) routes() *http.ServeMux {
	mux := http.NewServeMux()
	const messages = "/2010-04-01/Accounts/{account}/Messages"
	mux.HandleFunc("POST "+messages+".json", s.authorized(s.create))
	mux.HandleFunc("GET "+messages+".json", s.authorized(s.list))
	mux.HandleFunc("GET "+messages+"/{file}", s.authorized(s.fetch))
	mux.HandleFunc("POST "+messages+"/{file}", s.authorized(s.update))
	mux.HandleFunc("DELETE "+messages+"/{file}", s.authorized(s.remove))
	mux.HandleFunc("GET "+messages+"/{sid}/Media/{media}", s.authorized(s.media))
	mux.HandleFunc("GET /v1/Services/{sid}", s.authorized(s.service))
	s.account(mux)
	s.control(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { writeError(w, http.StatusNotFound, codeNotFound) })
	return mux
}

// authorized checks basic authentication and the account in the path.
func (s *Simulator) authorized(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		want, known := s.cfg.APIKeys[user]
		if user == s.cfg.AccountSID {
			want, known = s.cfg.AuthToken, true
		}
		if !known || subtle.ConstantTimeCompare([]byte(password), []byte(want)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="Twilio API"`)
			writeError(w, http.StatusUnauthorized, codeAuth)
			return
		}
		if account := r.PathValue("account"); account != "" && account != s.cfg.AccountSID {
			writeError(w, http.StatusNotFound, codeNotFound)
			return
		}
		next(w, r)
	}
}

func (s *Simulator) create(w http.ResponseWriter, r *http.Request) {
	s.stats.creates.Add(1)
	defer s.busy.Add(-1)
	if busy := s.busy.Add(1); s.cfg.MaxConcurrent > 0 && busy > int64(s.cfg.MaxConcurrent) {
		w.Header().Set("Retry-After", "1")
		writeError(w, http.StatusTooManyRequests, codeTooMany)
		return
	}
	form, ok := readForm(w, r)
	if !ok {
		return
	}
	s.pause(r.Context(), s.cfg.Delays.Answer.pick())
	fault := s.nextFault(OpCreate, form.Get("To"))
	if fault == nil {
		fault = s.magic(form.Get("To"), form.Get("From"))
	}
	if fault != nil && !fault.creates() && s.misbehave(w, r, fault) {
		return
	}
	m, code := s.accept(form)
	if code != 0 {
		writeError(w, http.StatusBadRequest, code)
		return
	}
	p := s.planFor(m, fault)
	answer := s.wire(m) // as it is now; the message itself belongs to the store from here on
	if !s.store(m) {
		panic(http.ErrAbortHandler)
	}
	s.stats.created.Add(1)
	if p.early {
		s.advance(r.Context(), p)
	}
	if fault != nil && loses(fault.Kind) {
		s.schedule(p)
		s.misbehave(w, r, fault)
		return
	}
	if fault != nil {
		s.misbehave(w, r, fault)
	}
	writeJSON(w, http.StatusCreated, answer)
	_ = http.NewResponseController(w).Flush() // Twilio's callbacks come after its answer
	s.schedule(p)
}

// loses tells whether a created message's proper answer is never written.
func loses(kind FaultKind) bool {
	return slices.Contains([]FaultKind{ServerErrorCreated, HangCreated, LoseAnswer, Junk, EmptyObject}, kind)
}

func (s *Simulator) list(w http.ResponseWriter, r *http.Request) {
	s.pause(r.Context(), s.cfg.Delays.Answer.pick())
	if fault := s.nextFault(OpList, r.URL.Query().Get("To")); fault != nil && s.misbehave(w, r, fault) {
		return
	}
	query := r.URL.Query()
	size, err := strconv.Atoi(query.Get("PageSize"))
	if err != nil || size < 1 {
		size = defaultPageSize
	}
	size = min(size, maxPageSize)
	page, _ := strconv.Atoi(query.Get("Page"))
	found, more := s.page(query, size)
	answer := map[string]any{
		"messages": found, "page": page, "page_size": size, "start": page * size, "end": page*size + max(len(found)-1, 0),
		"uri": r.URL.RequestURI(), "first_page_uri": link(r.URL, size, 0, ""), "next_page_uri": nil, "previous_page_uri": nil,
	}
	if more {
		answer["next_page_uri"] = link(r.URL, size, page+1, "PA"+found[len(found)-1].SID)
	}
	writeJSON(w, http.StatusOK, answer)
}

func link(u *url.URL, size, page int, token string) string {
	query := u.Query()
	query.Set("PageSize", itoa(size))
	query.Set("Page", itoa(page))
	query.Del("PageToken")
	if token != "" {
		query.Set("PageToken", token)
	}
	return u.Path + "?" + query.Encode()
}

// page selects newest first, after the message that the token names.
func (s *Simulator) page(query url.Values, size int) (found []wire, more bool) {
	after := strings.TrimPrefix(query.Get("PageToken"), "PA")
	found = []wire{}
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.messages
	if to := query.Get("To"); to != "" {
		from = s.byTo[to]
	}
	visible := time.Now().Add(-s.cfg.ListLag)
	for _, m := range slices.Backward(from) {
		if after != "" {
			if m.SID == after {
				after = ""
			}
			continue
		}
		if m.Created.After(visible) || !matches(m, query) {
			continue
		}
		if len(found) == size {
			return found, true
		}
		found = append(found, s.wire(m))
	}
	return found, false
}

// matches applies From and the three filters of the day of sending.
func matches(m *Message, query url.Values) bool {
	if from := query.Get("From"); from != "" && from != m.From {
		return false
	}
	const day = len(time.DateOnly)
	for _, name := range []string{"DateSent", "DateSent<", "DateSent>"} {
		want := query.Get(name)
		if len(want) < day {
			continue
		}
		if m.Sent.IsZero() {
			return false
		}
		order := strings.Compare(m.Sent.UTC().Format(time.DateOnly), want[:day])
		if (name == "DateSent" && order != 0) || (name == "DateSent<" && order > 0) || (name == "DateSent>" && order < 0) {
			return false
		}
	}
	return true
}

// one finds the message that the path names, or answers 404.
func (s *Simulator) one(w http.ResponseWriter, r *http.Request) *Message {
	sid, _ := strings.CutSuffix(r.PathValue("file"), ".json")
	s.mu.Lock()
	m := s.bySID[sid]
	s.mu.Unlock()
	if m == nil {
		writeError(w, http.StatusNotFound, codeNotFound)
	}
	return m
}

func (s *Simulator) fetch(w http.ResponseWriter, r *http.Request) {
	s.pause(r.Context(), s.cfg.Delays.Answer.pick())
	if fault := s.nextFault(OpFetch, ""); fault != nil && s.misbehave(w, r, fault) {
		return
	}
	if m := s.one(w, r); m != nil {
		s.writeMessage(w, m)
	}
}

func (s *Simulator) writeMessage(w http.ResponseWriter, m *Message) {
	s.mu.Lock()
	one := m.copy()
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, s.wire(&one))
}

func (s *Simulator) update(w http.ResponseWriter, r *http.Request) {
	form, ok := readForm(w, r)
	if !ok {
		return
	}
	m := s.one(w, r)
	if m == nil {
		return
	}
	s.mu.Lock()
	refused := 0
	switch {
	case form.Get("Status") == "canceled":
		if m.Status != "queued" && m.Status != "accepted" && m.Status != "scheduled" {
			refused = codeNotCancelable
			break
		}
		m.Status = "canceled"
	case form.Has("Body"):
		m.Body = form.Get("Body")
	}
	s.notify()
	s.mu.Unlock()
	if refused != 0 {
		writeError(w, http.StatusConflict, refused)
		return
	}
	s.writeMessage(w, m)
}

func (s *Simulator) remove(w http.ResponseWriter, r *http.Request) {
	m := s.one(w, r)
	if m == nil {
		return
	}
	is := func(other *Message) bool { return other == m }
	s.mu.Lock()
	delete(s.bySID, m.SID)
	s.messages = slices.DeleteFunc(s.messages, is)
	s.byTo[m.To] = slices.DeleteFunc(s.byTo[m.To], is)
	s.notify()
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (s *Simulator) service(w http.ResponseWriter, r *http.Request) {
	found := s.services[r.PathValue("sid")]
	if found == nil {
		writeError(w, http.StatusNotFound, codeNotFound)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"sid": found.SID, "account_sid": s.cfg.AccountSID, "friendly_name": found.Name,
		"inbound_request_url": s.cfg.InboundURL, "use_inbound_webhook_on_number": false,
		"url": "https://messaging.twilio.com/v1/Services/" + found.SID,
	})
}

func readForm(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err == nil {
		var form url.Values
		if form, err = twilio.ParseForm(body); err == nil {
			return form, true
		}
	}
	writeError(w, http.StatusBadRequest, codeInvalid)
	return nil, false
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(value); err != nil {
		writePage(w, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

// writeError answers as Twilio's API does.
func writeError(w http.ResponseWriter, status, code int) {
	writeJSON(w, status, map[string]any{
		"code": code, "message": errorText(code), "status": status,
		"more_info": "https://www.twilio.com/docs/errors/" + itoa(code),
	})
}

// writePage answers as a load balancer does, in chunks and without JSON.
func writePage(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = w.Write([]byte("<html><body><h1>" + http.StatusText(status) + "</h1>"))
	_ = http.NewResponseController(w).Flush()
	_, _ = w.Write([]byte("</body></html>"))
}

func itoa(n int) string { return strconv.Itoa(n) }

func orInt(n, fallback int) int {
	if n == 0 {
		return fallback
	}
	return n
}
