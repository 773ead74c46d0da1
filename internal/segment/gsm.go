package segment

// septets is the number of septets that a character takes in GSM-7: 1 in the default alphabet, 2 in the extension
// table (an escape comes before it), 0 when it is in neither.
//
// Source: 3GPP TS 23.038, 6.2.1 and 6.2.1.1. Septet 0x1B only announces the extension table and stands for no
// character, so U+001B itself is not in the alphabet (Twilio's calculator agrees).
func septets(r rune) int {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '%' <= r && r <= '?', ' ' <= r && r <= '#':
		return 1
	}
	switch r {
	case '$', '@', '_', '\n', '\r',
		'£', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', 'Ø', 'ø', 'Å', 'å',
		'Δ', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ',
		'Æ', 'æ', 'ß', 'É', '¤', '¡', 'Ä', 'Ö', 'Ñ', 'Ü', '§', '¿', 'ä', 'ö', 'ñ', 'ü', 'à':
		return 1
	case '\f', '^', '{', '}', '\\', '[', '~', ']', '|', '€':
		return 2
	}
	return 0
}
