package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/beckonhq/beckon/internal/message"
)

// ErrBadDimension says that figures can't be grouped by what was asked for.
var ErrBadDimension = errors.New("figures have no such dimension")

// Dimensions are what figures can be grouped by.
func Dimensions() []string {
	return []string{"rule", "template", "language", "channel", "sender", "day", "purpose", "country", "category", "org"}
}

// FiguresQuery selects figures; zero times do not bound them.
type FiguresQuery struct {
	Since, Until time.Time // of the attempts: from Since on, before Until
	By           []string  // of Dimensions; none for one sum
	Zone         string    // of the days, as Europe/Berlin; empty: UTC
}

// Figure is what became of the attempts of one group. Sent is those that Twilio took: each is Delivered, Failed or Open.
type Figure struct {
	By                                  []string // the values of the query's dimensions
	Sent, Delivered, Read, Failed, Open int64
	Refused                             int64 // Twilio did not take them, and said why by a code
	Twice                               int64 // of Delivered: an earlier attempt of the message was delivered too
	Replied, OptedOut, Segments         int64
	Codes                               map[int]int64 // of the failed and refused ones, by Twilio's code; 0 for none
	Charged                             []Charge
}

// Charge is how many of a group's messages there are of one kind, as prices go.
type Charge struct {
	Channel            message.Channel
	Country, Category  string
	Messages, Segments int64
}

// Figures sums up attempts, ordered by the values of the dimensions.
func (s *Store) Figures(ctx context.Context, q FiguresQuery) ([]Figure, error) {
	columns := make([]string, len(q.By))
	for i, name := range q.By {
		switch {
		case !slices.Contains(Dimensions(), name):
			return nil, fmt.Errorf("%w: %q", ErrBadDimension, name)
		case name == "day":
			columns[i] = "(started_at at time zone @zone)::date::text"
		default:
			columns[i] = name + "::text"
		}
	}
	rows, err := s.pool.Query(ctx, `select array[`+strings.Join(columns, ", ")+`]::text[] as dims, channel, country, category,
			coalesce(failed_code, refused_code, -1), failed_code is not null, charged, count(*), count(*) filter (where sent),
			count(*) filter (where delivered), count(*) filter (where read), count(*) filter (where open), count(*) filter (where twice),
			count(*) filter (where replied), count(*) filter (where opted_out), coalesce(sum(segments), 0)
		from attempt_figure where (@since::timestamptz is null or started_at >= @since) and (@until::timestamptz is null or started_at < @until)
		group by 1, 2, 3, 4, 5, 6, 7 order by 1, 2, 3, 4, 5, 6, 7`,
		pgx.NamedArgs{"since": timeOrNull(q.Since), "until": timeOrNull(q.Until), "zone": cmp.Or(q.Zone, "UTC")})
	if err != nil {
		return nil, fmt.Errorf("sum up attempts: %w", err)
	}
	var figures []Figure
	if err := foldFigures(rows, &figures); err != nil {
		return nil, fmt.Errorf("sum up attempts: %w", err)
	}
	return figures, nil
}

// foldFigures joins the rows of one group, which follow one another.
func foldFigures(rows pgx.Rows, figures *[]Figure) error {
	var row Figure
	var kind Charge
	var code int
	var failed, charged bool
	var count int64
	targets := []any{
		&row.By, (*string)(&kind.Channel), &kind.Country, &kind.Category, &code, &failed, &charged, &count, &row.Sent, &row.Delivered, &row.Read,
		&row.Open, &row.Twice, &row.Replied, &row.OptedOut, &row.Segments,
	}
	return each(rows, targets, func() error {
		if n := len(*figures); n == 0 || !slices.Equal((*figures)[n-1].By, row.By) {
			*figures = append(*figures, Figure{By: slices.Clone(row.By), Codes: map[int]int64{}})
		}
		f := &(*figures)[len(*figures)-1]
		f.Sent, f.Delivered, f.Read, f.Open = f.Sent+row.Sent, f.Delivered+row.Delivered, f.Read+row.Read, f.Open+row.Open
		f.Twice, f.Replied, f.OptedOut, f.Segments = f.Twice+row.Twice, f.Replied+row.Replied, f.OptedOut+row.OptedOut, f.Segments+row.Segments
		if code >= 0 {
			f.Codes[code] += count
			if failed {
				f.Failed += count
			} else {
				f.Refused += count
			}
		}
		if charged {
			kind.Messages, kind.Segments = row.Sent, row.Segments
			f.Charged = append(f.Charged, kind)
		}
		return nil
	})
}

// category is what the price of an attempt goes by.
func category(c Claimed) string {
	content := c.Message.Content
	switch {
	case c.Channel == message.SMS && content.SMS != nil && len(content.SMS.Media) > 0:
		return "mms"
	case c.Channel == message.SMS:
		return "sms"
	case c.FreeText:
		return "service"
	case c.Message.Purpose == message.Marketing:
		return "marketing"
	}
	return "utility"
}

func smsSegments(c Claimed) int {
	if c.Channel != message.SMS {
		return 0
	}
	return c.Message.Segments()
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
