package consent

import "slices"

// Yes tells whether a reply is a plain yes, and nothing else. It means something only as the answer to a question: people say yes
// to appointments too.
func Yes(body string) bool {
	words := []string{"yes", "y", "si", "oui", "ja", "sim", "tak"}
	return slices.Contains(words, normalize(body).String())
}
