package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/notification"
)

// value fills and shows one field of a Config. Its errors may quote the text, except for a secret or a phone number.
type value struct {
	set          func(texts []string) error
	show         func() string
	secret, list bool
}

// scalar is a value of one text.
func scalar(set func(string) error, show func() string) value {
	return value{set: func(texts []string) error { return set(texts[0]) }, show: show}
}

func hidden(v value) value {
	v.secret = true
	return v
}

func text(p *string) value {
	return scalar(func(s string) error { *p = s; return nil }, func() string { return *p })
}

func secret(p *Secret) value {
	return hidden(scalar(func(s string) error { *p = Secret(s); return nil }, p.String))
}

func secrets(p *[]Secret) value {
	return value{
		set: func(texts []string) error {
			*p = nil
			for _, s := range texts {
				*p = append(*p, Secret(s))
			}
			return nil
		},
		show:   func() string { return fmt.Sprintf("%v", *p) },
		secret: true, list: true,
	}
}

// longSecrets are secrets that nobody can guess.
func longSecrets(p *[]Secret) value {
	v := secrets(p)
	set := v.set
	v.set = func(texts []string) error {
		for _, s := range texts {
			if len(s) < 32 {
				return errors.New("want at least 32 characters each, as of `openssl rand -hex 32`")
			}
		}
		return set(texts)
	}
	return v
}

func pathSecret(p *Secret) value {
	return hidden(scalar(func(s string) error {
		if url.PathEscape(s) != s || strings.Trim(s, ".") == "" {
			return errors.New("want letters, digits, - and _ only, because it is part of a path")
		}
		*p = Secret(s)
		return nil
	}, p.String))
}

func hostPort(p *string) value {
	return scalar(func(s string) error {
		_, port, err := net.SplitHostPort(s)
		if err != nil {
			return fmt.Errorf("%q: want host:port, for example 127.0.0.1:8080 or :8080", s)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("%q: the port is a number from 0 to 65535", s)
		}
		*p = s
		return nil
	}, func() string { return *p })
}

// webURL does not quote the text: a URL may carry a password by mistake.
func webURL(p *string) value {
	return scalar(func(s string) error {
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			return errors.New("want a URL such as https://beckon.example.com")
		case u.User != nil:
			return errors.New("want a URL without user and password")
		case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
			return errors.New("want a URL without ? and #")
		}
		*p = strings.TrimRight(s, "/")
		return nil
	}, func() string { return *p })
}

func natsURL(p *Secret) value {
	return hidden(scalar(func(s string) error {
		for part := range strings.SplitSeq(s, ",") {
			u, err := url.Parse(strings.TrimSpace(part))
			if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
				return errors.New("want nats://host:4222 (or tls, ws, wss), several with commas between them")
			}
		}
		*p = Secret(s)
		return nil
	}, p.String))
}

// databaseURL takes the two forms of libpq: a URL, whose host may be a parameter too, and keywords such as host=a,b.
func databaseURL(p *Secret) value {
	keywords := regexp.MustCompile(`^\s*[a-z_]+\s*=`)
	return hidden(scalar(func(s string) error {
		u, err := url.Parse(s)
		if !keywords.MatchString(s) && (err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "") {
			return errors.New("want postgres://user:password@host:5432/database (special characters escaped with %)")
		}
		*p = Secret(s)
		return nil
	}, p.String))
}

func number[T int | int64](p *T, least, most T) value {
	return scalar(func(s string) error {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < int64(least) || n > int64(most) {
			return fmt.Errorf("%q: want a number from %d to %d", s, least, most)
		}
		*p = T(n)
		return nil
	}, func() string { return strconv.FormatInt(int64(*p), 10) })
}

func duration(p *time.Duration) value {
	return scalar(func(s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 {
			return fmt.Errorf("%q: want a time above zero, for example 10s or 1m30s", s)
		}
		*p = d
		return nil
	}, func() string { return p.String() })
}

// durationUpTo is a duration with a bound.
func durationUpTo(p *time.Duration, most time.Duration) value {
	v := duration(p)
	set := v.set
	v.set = func(texts []string) error {
		if err := set(texts); err != nil {
			return err
		}
		if *p > most {
			return fmt.Errorf("%q: want at most %s", texts[0], most)
		}
		return nil
	}
	return v
}

// leastRetention is longer than Salesforce tries again.
const leastRetention = 26 * time.Hour

// dayOrNever is a date, which begins at midnight UTC, or the word never.
func dayOrNever(p *time.Time) value {
	const never = "never"
	return scalar(func(s string) error {
		if s == never {
			*p = time.Time{}
			return nil
		}
		day, err := time.Parse(time.DateOnly, s)
		if err != nil {
			return fmt.Errorf("%q: want a date such as 2027-01-31, or never", s)
		}
		*p = day
		return nil
	}, func() string {
		if p.IsZero() {
			return never
		}
		return p.Format(time.DateOnly)
	})
}

func retention(p *time.Duration) value {
	return scalar(func(s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d < leastRetention {
			return fmt.Errorf("%q: want a time of at least 26h, for example 8760h", s)
		}
		*p = d
		return nil
	}, func() string {
		if *p == 0 {
			return ""
		}
		return p.String()
	})
}

func orgIDs(p *[]notification.OrgID) value {
	return value{
		set: func(texts []string) error {
			*p = nil
			for i, s := range texts {
				id, err := notification.ParseOrgID(s)
				if err != nil {
					return fmt.Errorf("organisation %d: %w", i+1, err)
				}
				if !slices.Contains(*p, id) {
					*p = append(*p, id)
				}
			}
			return nil
		},
		show: func() string { return fmt.Sprintf("%v", *p) },
		list: true,
	}
}

func sid(p *string, prefix string) value {
	form := regexp.MustCompile("^" + prefix + "[0-9A-Za-z]+$")
	return scalar(func(s string) error {
		if !form.MatchString(s) {
			return fmt.Errorf("want a Twilio id that begins with %s", prefix)
		}
		*p = s
		return nil
	}, func() string { return *p })
}

// phone takes a sender's number. Whether it exists is Twilio's to say: numbers for tests do not.
func phone(p *address.Address, shortCode bool) value {
	form, want := regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`), "want a number in the form +E.164, for example +15551234567"
	if shortCode {
		form = regexp.MustCompile(`^(\+[1-9][0-9]{6,14}|[0-9]{3,8})$`)
		want += ", or a short code"
	}
	return scalar(func(s string) error {
		// Twilio's own notation for WhatsApp senders has this prefix.
		if !shortCode {
			s = strings.TrimPrefix(s, "whatsapp:")
		}
		if !form.MatchString(s) {
			return errors.New(want)
		}
		*p = address.Address(s)
		return nil
	}, p.String)
}

func region(p *string) value {
	return scalar(func(s string) error {
		if s = strings.ToUpper(s); len(s) != 2 || phonenumbers.GetCountryCodeForRegion(s) == 0 {
			return fmt.Errorf("%q: want a region of ISO 3166-1, for example US", s)
		}
		*p = s
		return nil
	}, func() string { return *p })
}

func level(p *slog.Level) value {
	return scalar(func(s string) error {
		levels := map[string]slog.Level{
			"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
		}
		found, ok := levels[strings.ToLower(s)]
		if !ok {
			return fmt.Errorf("%q: want debug, info, warn or error", s)
		}
		*p = found
		return nil
	}, func() string { return strings.ToLower(p.String()) })
}

func oneOf(p *string, choices ...string) value {
	return scalar(func(s string) error {
		if !slices.Contains(choices, s) {
			return fmt.Errorf("%q: want %s", s, strings.Join(choices, " or "))
		}
		*p = s
		return nil
	}, func() string { return *p })
}
