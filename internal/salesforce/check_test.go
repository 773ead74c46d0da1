package salesforce

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Check and Decode must agree on every document, whatever it is: the router decodes what the door has checked.
func TestCheckAgreesWithDecode(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "shapes", "*.xml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		body, err := os.ReadFile(file)
		require.NoError(t, err)
		requireSameVerdict(t, body)
		for cut := 0; cut < len(body); cut += 7 {
			requireSameVerdict(t, body[:cut])
		}
	}
}

func FuzzCheck(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "shapes", "*.xml"))
	require.NoError(f, err)
	for _, file := range files {
		body, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(body)
	}
	f.Fuzz(requireSameVerdict)
}

func requireSameVerdict(t *testing.T, body []byte) {
	t.Helper()
	decoded, decodeErr := Decode(body, DefaultLimits())
	checked, checkErr := Check(body, DefaultLimits())
	require.Equal(t, decodeErr, checkErr)
	if decodeErr != nil {
		return
	}
	for i := range decoded.Notifications {
		decoded.Notifications[i].Fields = nil
	}
	require.Equal(t, decoded, checked)
}
