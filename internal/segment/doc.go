// Package segment counts how many SMS parts a text takes, the unit that carriers bill and limit.
//
// It takes the text as it will be sent and gives its encoding, its size in that encoding's units and the number of
// parts. It does not change the text: Twilio's Smart Encoding, which replaces look-alikes such as curly quotes, is not
// applied, so the result is the upper bound.
//
// The rules: GSM-7 when every character is in the default alphabet or the extension table of 3GPP TS 23.038 (formerly
// GSM 03.38), else UCS-2. One part holds 160 septets or 70 code units; each of several parts holds 153 or 67, since a
// user data header takes six octets (3GPP TS 23.040, 9.2.3.24). A character of the extension table is an escape pair
// of two septets, one outside the basic multilingual plane is a surrogate pair of two code units; neither pair is split
// between two parts. A character of several code points (a flag, a family, a letter with a combining accent) may be:
// phones put parts together before they draw them.
//
// Every function is pure and never fails; a byte that isn't valid UTF-8 counts as U+FFFD. Tested against the standard's
// tables written out by hand, by fuzzing, and against Twilio's own calculator where Node is at hand.
package segment
