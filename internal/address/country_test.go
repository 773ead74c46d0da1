package address_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/address"
)

func TestCountry(t *testing.T) {
	t.Parallel()
	for a, want := range map[address.Address]string{
		"+14155550100": "US", "+14165550100": "CA", "+17875550100": "PR", "+18885550100": "US", "+447400123456": "GB", "+525512345678": "MX",
		"+491711234567": "DE", "+77011234567": "KZ", "US.1A2B": "US", "DE.ENT.9Z": "DE", "+19995550100": "", "+88216123456": "", "": "", "hello": "",
	} {
		require.Equal(t, want, a.Country(), string(a))
	}
}
