package twiliosim

import (
	"encoding/json"
	"errors"
	"net/http"
)

// control serves the endpoints for people and scripts. They have no authentication: the simulator is a tool for
// a developer's own machine.
func (s *Simulator) control(mux *http.ServeMux) {
	mux.HandleFunc("POST /_sim/inbound", s.controlInbound)
	mux.HandleFunc("POST /_sim/media", s.controlAddMedia)
	mux.HandleFunc("POST /_sim/faults", s.controlAddFault)
	mux.HandleFunc("DELETE /_sim/faults", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /_sim/messages", s.controlMessages)
	mux.HandleFunc("GET /_sim/stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Stats()) })
}

func (s *Simulator) controlInbound(w http.ResponseWriter, r *http.Request) {
	var in InboundMessage
	if !readJSON(w, r, &in) {
		return
	}
	result, err := s.Inbound(r.Context(), in)
	switch {
	case errors.Is(err, ErrBadInbound):
		writeProblem(w, http.StatusBadRequest, err.Error())
	case err != nil:
		writeProblem(w, http.StatusBadGateway, err.Error())
	default:
		writeJSON(w, http.StatusOK, result)
	}
}

func (s *Simulator) controlAddFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if !readJSON(w, r, &f) {
		return
	}
	if !f.valid() {
		writeProblem(w, http.StatusBadRequest, "the kind of fault is unknown or not possible for this operation")
		return
	}
	s.AddFault(f)
	w.WriteHeader(http.StatusNoContent)
}

func (s *Simulator) controlMessages(w http.ResponseWriter, r *http.Request) {
	to := r.URL.Query().Get("to")
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	for _, m := range s.Messages() {
		if to != "" && m.To != to {
			continue
		}
		if lines.Encode(m) != nil {
			return
		}
	}
}

func readJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		writeProblem(w, http.StatusBadRequest, err.Error())
		return false
	}
	return true
}

func writeProblem(w http.ResponseWriter, status int, problem string) {
	writeJSON(w, status, map[string]string{"error": problem})
}
