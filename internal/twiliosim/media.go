package twiliosim

import (
	"io"
	"net/http"
	"strings"
)

// maxFile is the size of the largest file that people send through the control endpoint, in bytes; as large as a test of limits needs.
const maxFile = 32 << 20

// file is a picture or file of an inbound message.
type file struct {
	contentType string
	data        []byte
}

// AddMedia keeps a picture or file, for InboundMessage.MediaURLs. It returns its path at the API, which asks for the account's
// credentials.
func (s *Simulator) AddMedia(contentType string, data []byte) (path string) {
	path = "/" + apiVersion + "/Accounts/" + s.cfg.AccountSID + "/Messages/" + newSID("MM") + "/Media/" + newSID("ME")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = file{contentType, data}
	return path
}

// RemoveMedia deletes a picture or file, as an account's owner does.
func (s *Simulator) RemoveMedia(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, path)
}

func (s *Simulator) media(w http.ResponseWriter, r *http.Request) {
	if fault := s.nextFault(OpMedia, ""); fault != nil && s.misbehave(w, r, fault) {
		return
	}
	s.mu.Lock()
	found, ok := s.files[r.URL.Path]
	s.mu.Unlock()
	if !ok {
		writeError(w, http.StatusNotFound, codeNotFound)
		return
	}
	w.Header().Set("Content-Type", found.contentType)
	w.Header().Set("Content-Length", itoa(len(found.data)))
	_, _ = w.Write(found.data)
}

// controlAddMedia takes a file as it is and answers with the link to it.
func (s *Simulator) controlAddMedia(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFile))
	if err != nil {
		writeProblem(w, http.StatusBadRequest, "the file is too large, or did not come whole")
		return
	}
	writeJSON(w, http.StatusCreated, map[string]string{"url": "http://" + r.Host + s.AddMedia(r.Header.Get("Content-Type"), data)})
}

// typeOf is what the webhook says of a file: what it is kept with, or a picture when it is somewhere else.
func (s *Simulator) typeOf(link string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, f := range s.files {
		if strings.HasSuffix(link, path) {
			return f.contentType
		}
	}
	return "image/jpeg"
}
