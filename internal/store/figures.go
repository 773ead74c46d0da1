package store

import (
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
}

// Figure is what became of the attempts that Twilio took, of one group.
type Figure struct {
	By                                                         []string // the values of the query's dimensions
	Sent, Delivered, Read, Failed, Replied, OptedOut, Segments int64
	Codes                                                      map[int]int64 // of the failed ones, by Twilio's code; 0 for none
	Charged                                                    []Charge
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
		if !slices.Contains(Dimensions(), name) {
			return nil, fmt.Errorf("%w: %q", ErrBadDimension, name)
		}
		columns[i] = name + "::text"
	}
	by := "array[]::text[]"
	if len(columns) > 0 {
		by = "array[" + strings.Join(columns, ", ") + "]"
	}
	rows, err := s.pool.Query(ctx, `select `+by+` as dims, channel, country, category, coalesce(failed_code, -1), charged, count(*),
			count(*) filter (where delivered), count(*) filter (where read), count(*) filter (where replied),
			count(*) filter (where opted_out), coalesce(sum(segments), 0)
		from attempt_figure where ($1::timestamptz is null or started_at >= $1) and ($2::timestamptz is null or started_at < $2)
		group by 1, 2, 3, 4, 5, 6 order by 1, 2, 3, 4, 5, 6`, timeOrNull(q.Since), timeOrNull(q.Until))
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
	var charged bool
	targets := []any{
		&row.By, (*string)(&kind.Channel), &kind.Country, &kind.Category, &code, &charged, &row.Sent, &row.Delivered, &row.Read, &row.Replied,
		&row.OptedOut, &row.Segments,
	}
	return each(rows, targets, func() error {
		if n := len(*figures); n == 0 || !slices.Equal((*figures)[n-1].By, row.By) {
			*figures = append(*figures, Figure{By: slices.Clone(row.By), Codes: map[int]int64{}})
		}
		f := &(*figures)[len(*figures)-1]
		f.Sent, f.Delivered, f.Read = f.Sent+row.Sent, f.Delivered+row.Delivered, f.Read+row.Read
		f.Replied, f.OptedOut, f.Segments = f.Replied+row.Replied, f.OptedOut+row.OptedOut, f.Segments+row.Segments
		if code >= 0 {
			f.Failed += row.Sent
			f.Codes[code] += row.Sent
		}
		if charged {
			kind.Messages, kind.Segments = row.Sent, row.Segments
			f.Charged = append(f.Charged, kind)
		}
		return nil
	})
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
