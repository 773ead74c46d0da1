package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const addressFile = "beckon.addresses.json"

// Addresses is where the parts of a running server listen. All of it is reachable from this machine only.
type Addresses struct {
	// NATSURL is the loopback address of the embedded NATS, empty when NATS is not embedded.
	NATSURL string `json:"nats_url,omitempty"`
	// NATSToken is the token that it asks for.
	NATSToken string `json:"nats_token,omitempty"`
	// DatabaseURL leads to the private Postgres, with its password; empty when there is none.
	DatabaseURL string `json:"database_url,omitempty"`
	// AdminURL is the base URL of the private HTTP listener.
	AdminURL string `json:"admin_url,omitempty"`
	// PID is the process id of the server.
	PID int `json:"pid"`
}

// String does not show the token or the password.
func (a Addresses) String() string { return fmt.Sprintf("addresses of process %d", a.PID) }

// GoString does not show the token or the password.
func (a Addresses) GoString() string { return a.String() }

// WriteAddresses puts the address file into the data directory dir, in one step and readable by its owner only. The
// caller holds the lock of dir. A PID of 0 becomes that of this process.
func WriteAddresses(dir string, a Addresses) error {
	if a.PID == 0 {
		a.PID = os.Getpid()
	}
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("write address file: %w", err)
	}
	// CreateTemp makes the file with mode 0600.
	temp, err := os.CreateTemp(dir, addressFile+".*")
	if err != nil {
		return fmt.Errorf("write address file: %w", err)
	}
	_, err = temp.Write(append(text, '\n'))
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), filepath.Join(dir, addressFile))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write address file: %w", err), os.Remove(temp.Name()))
	}
	return nil
}

// ReadAddresses reads the address file of the data directory dir. The error wraps ErrNotRunning when there is none, or
// when the process that wrote it has ended.
func ReadAddresses(dir string) (Addresses, error) {
	text, err := os.ReadFile(filepath.Join(dir, addressFile))
	if errors.Is(err, os.ErrNotExist) {
		return Addresses{}, notRunning(dir)
	}
	if err != nil {
		return Addresses{}, fmt.Errorf("read address file: %w", err)
	}
	var a Addresses
	if err := json.Unmarshal(text, &a); err != nil {
		return Addresses{}, fmt.Errorf("read address file %s: %w", filepath.Join(dir, addressFile), err)
	}
	pid, held, err := holder(dir)
	if err != nil {
		return Addresses{}, err
	}
	if !held || pid != a.PID {
		return Addresses{}, notRunning(dir)
	}
	return a, nil
}

// RemoveAddresses removes the address file of the data directory dir, if there is one.
func RemoveAddresses(dir string) error {
	err := os.Remove(filepath.Join(dir, addressFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove address file: %w", err)
	}
	return nil
}

func notRunning(dir string) error {
	return fmt.Errorf("%w (%s): start it with beckon serve, or set BECKON_NATS_URL and BECKON_DATABASE_URL", ErrNotRunning, dir)
}
