// Package quiet says when a person may be written to: quiet hours by the place where they are.
//
// # What it takes and gives
//
// Locate turns what is known of a person (an address of the CRM, a time zone, at least a phone number) into a Place: a
// country, the states or provinces that are possible, the time zones that are possible. Law, the windows of countries and
// states as data, answers for a moment and a place whether a message may go now, and if not, when.
//
// # What it promises
//
//   - Law is data (law.yaml, each row with its source), never code. A file of an operator goes before it, row by row.
//   - What is not known is taken strictly: where several zones or states are possible, a moment is allowed only when all of
//     them allow it.
//   - Local times are counted on the calendar of the zone: on a day when clocks change, an opening that comes twice counts
//     from the later time, a closing from the earlier one.
//   - Nothing here is legal advice. The table is a start for the counsel of whoever sends.
//
// # How it fails
//
// Load reports every mistake of a file at once, with its line. A time zone that the machine does not know is an error at
// load, not at the first message. When no common opening exists within two weeks, Next says so.
//
// # Zone data
//
// Zone rules change several times a year. Zones reads the directory or zip file that a setting names, else the machine's
// data, else the copy in the program, and tells which version that is.
//
// # Tests
//
// Tables of moments around openings, holidays and changes of clocks; the area codes are compared with the zones that the
// phone number library knows.
package quiet
