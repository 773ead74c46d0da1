package address

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Country is the country of an address, ISO 3166-1: of a phone number as the library's numbering plans have it, of a business-scoped
// id by its first two letters. It is empty when the plans do not tell, as for some numbers that belong to no place.
func (a Address) Country() string {
	const letters = 2
	if country, _, scoped := strings.Cut(string(a), "."); scoped && len(country) == letters {
		return country
	}
	number, err := phonenumbers.Parse(string(a), "ZZ")
	if err != nil {
		return ""
	}
	region := phonenumbers.GetRegionCodeForNumber(number)
	if len(region) != letters || region == "ZZ" { // 001 is the region of what belongs to no country
		return ""
	}
	return region
}
