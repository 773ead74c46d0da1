package message

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxRendered is the most characters of a rendered WhatsApp template, and so of its variables together.
const maxRendered = 1024

// VariableProblem says why WhatsApp would refuse the value of a variable of an approved template, without the value; empty when it
// would not.
//
// Source: Twilio, errors 21656 and 63013 and "Using variables": no empty value, line break, tab or more than four spaces in a row.
func VariableProblem(value string) string {
	switch {
	case strings.TrimSpace(value) == "":
		return "is empty, which WhatsApp refuses"
	case strings.ContainsAny(value, "\r\n\t\v\f\u0085\u2028\u2029"):
		return "has a line break or a tab, which WhatsApp refuses"
	case strings.Contains(value, "     "):
		return "has more than four spaces in a row, which WhatsApp refuses"
	case utf8.RuneCountInString(value) > maxRendered:
		return "is longer than " + strconv.Itoa(maxRendered) + " characters"
	}
	return ""
}

// VariablesProblem says what is wrong with the variables of an approved template, and with which (empty: with all of them together);
// nothing when WhatsApp would take them. Keys count up from "1".
func VariablesProblem(variables map[string]string) (key, problem string) {
	total := 0
	for i := range len(variables) {
		key := strconv.Itoa(i + 1)
		value, there := variables[key]
		if !there {
			return key, "is missing: keys count up from 1"
		}
		if problem := VariableProblem(value); problem != "" {
			return key, problem
		}
		total += utf8.RuneCountInString(value)
	}
	if total > maxRendered {
		return "", "are longer than " + strconv.Itoa(maxRendered) + " characters together"
	}
	return "", ""
}
