package quiet

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// CountryCode is the ISO 3166-1 code of a country as a CRM has it: the code itself, or the English name of some. It is empty for codes
// that nobody has a number in, such as EN: of these no clock is known, and the person's number tells more.
func (l *Law) CountryCode(text string) string {
	text = strings.ToUpper(strings.TrimSpace(strings.ReplaceAll(text, ".", "")))
	switch {
	case text == "UK":
		return "GB"
	case phonenumbers.GetSupportedRegions()[text], l.rules.Countries[text] != nil:
		return text
	}
	return countryNames()[text]
}

// countryNames are the names that CRMs use most; a person of any other country is found by the number.
func countryNames() map[string]string {
	return map[string]string{
		"UNITED STATES": "US", "UNITED STATES OF AMERICA": "US", "USA": "US", "CANADA": "CA", "MEXICO": "MX",
		"UNITED KINGDOM": "GB", "GREAT BRITAIN": "GB", "IRELAND": "IE", "FRANCE": "FR", "GERMANY": "DE", "DEUTSCHLAND": "DE",
		"SPAIN": "ES", "PORTUGAL": "PT", "ITALY": "IT", "NETHERLANDS": "NL", "BELGIUM": "BE", "AUSTRIA": "AT", "SWITZERLAND": "CH",
		"POLAND": "PL", "INDIA": "IN", "AUSTRALIA": "AU", "NEW ZEALAND": "NZ", "BRAZIL": "BR",
	}
}

// stateCode is the code of a US state or Canadian province: the code itself or its English name.
func stateCode(country, text string) string {
	text = strings.ToUpper(strings.TrimSpace(strings.ReplaceAll(text, ".", "")))
	names := stateNames()
	if country == "CA" {
		names = provinceNames()
	}
	if code, ok := names[text]; ok {
		return code
	}
	return text
}

func stateNames() map[string]string {
	return map[string]string{
		"ALABAMA": "AL", "ALASKA": "AK", "ARIZONA": "AZ", "ARKANSAS": "AR", "CALIFORNIA": "CA", "COLORADO": "CO", "CONNECTICUT": "CT",
		"DELAWARE": "DE", "DISTRICT OF COLUMBIA": "DC", "FLORIDA": "FL", "GEORGIA": "GA", "GUAM": "GU", "HAWAII": "HI", "IDAHO": "ID",
		"ILLINOIS": "IL", "INDIANA": "IN", "IOWA": "IA", "KANSAS": "KS", "KENTUCKY": "KY", "LOUISIANA": "LA", "MAINE": "ME",
		"MARYLAND": "MD", "MASSACHUSETTS": "MA", "MICHIGAN": "MI", "MINNESOTA": "MN", "MISSISSIPPI": "MS", "MISSOURI": "MO",
		"MONTANA": "MT", "NEBRASKA": "NE", "NEVADA": "NV", "NEW HAMPSHIRE": "NH", "NEW JERSEY": "NJ", "NEW MEXICO": "NM",
		"NEW YORK": "NY", "NORTH CAROLINA": "NC", "NORTH DAKOTA": "ND", "OHIO": "OH", "OKLAHOMA": "OK", "OREGON": "OR",
		"PENNSYLVANIA": "PA", "PUERTO RICO": "PR", "RHODE ISLAND": "RI", "SOUTH CAROLINA": "SC", "SOUTH DAKOTA": "SD",
		"TENNESSEE": "TN", "TEXAS": "TX", "UTAH": "UT", "VERMONT": "VT", "VIRGINIA": "VA", "VIRGIN ISLANDS": "VI",
		"WASHINGTON": "WA", "WASHINGTON DC": "DC", "WEST VIRGINIA": "WV", "WISCONSIN": "WI", "WYOMING": "WY",
	}
}

func provinceNames() map[string]string {
	return map[string]string{
		"ALBERTA": "AB", "BRITISH COLUMBIA": "BC", "MANITOBA": "MB", "NEW BRUNSWICK": "NB", "NEWFOUNDLAND AND LABRADOR": "NL",
		"NOVA SCOTIA": "NS", "PRINCE EDWARD ISLAND": "NS", "PE": "NS", "ONTARIO": "ON", "QUEBEC": "QC", "QUÉBEC": "QC",
		"SASKATCHEWAN": "SK", "YUKON": "YT", "NORTHWEST TERRITORIES": "YT", "NT": "YT", "NUNAVUT": "YT", "NU": "YT",
	}
}
