package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/beckonhq/beckon/migrations"
)

// leastConns is one connection for each loop that works on the ledger, and some for readers.
const leastConns = 12

// transactionTries is how often a transaction that lost against another one is run.
const transactionTries = 5

// minConnections is for the loops of all roles and some look-ups and listings beside them.
const minConnections = 12

// connectTimeout bounds one try to connect; callTimeout one transaction, so that a connection that leads nowhere any more
// holds nobody up: the call fails as temporary, and the next one connects anew.
const (
	connectTimeout = 5 * time.Second
	callTimeout    = 30 * time.Second
)

// migrationPatience is how many seconds a process waits for another one that is migrating.
const migrationPatience = 300

// Store is the ledger. It is safe for concurrent use.
type Store struct {
	pool     *pgxpool.Pool
	current  atomic.Pointer[pgxpool.Pool] // the same, for hooks of connections that open while the pool is being made
	expected atomic.Pointer[Mark]         // see Expect

	erasureKeys []string // see UseErasureKeys
}

// Open connects to Postgres. The url is a connection URL or keyword string, see
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING. Of several hosts it takes the one that takes
// writes, unless target_session_attrs says otherwise. It does not wait for the server: see Ready.
func Open(ctx context.Context, url string) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("read the database URL: it is not a valid Postgres connection string") // err may show the password
	}
	config.ConnConfig.RuntimeParams["application_name"] = "beckon"
	config.MaxConnIdleTime = 5 * time.Minute
	if !strings.Contains(url, "pool_max_conns") { // pgx's default is the number of processors
		config.MaxConns = max(config.MaxConns, leastConns)
	}
	config.MaxConns = max(config.MaxConns, minConnections)
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	config.PingTimeout = connectTimeout
	if severalServers(config.ConnConfig) && !strings.Contains(url, "target_session_attrs") {
		config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	s := &Store{}
	config.ConnConfig.OnPgError = s.leaveReadOnly(config.ConnConfig.OnPgError)
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, prepare)
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database pool: %w", err)
	}
	s.pool = pool
	s.current.Store(pool)
	return s, nil
}

// severalServers tells whether the URL names more than one server; pgx also has fallbacks to the same one without TLS.
func severalServers(config *pgx.ConnConfig) bool {
	return slices.ContainsFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool {
		return f.Host != config.Host || f.Port != config.Port
	})
}

// leaveReadOnly drops every connection when a server says that it takes no writes: it has become a standby, and the pool would
// keep to it for an hour. The next connections find the new primary. (pgx closes one after a fatal error by itself.)
func (s *Store) leaveReadOnly(next pgconn.PgErrorHandler) pgconn.PgErrorHandler {
	return func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		if err.Code != codeReadOnly {
			return next(conn, err)
		}
		if pool := s.current.Load(); pool != nil {
			pool.Reset()
		}
		return false
	}
}

// Close closes every connection, waiting for those in use.
func (s *Store) Close() { s.pool.Close() }

// Ready tells whether Postgres answers and accepts writes.
func (s *Store) Ready(ctx context.Context) error {
	var readOnly bool
	if err := s.pool.QueryRow(ctx, "select "+isReadOnly).Scan(&readOnly); errors.Is(err, pgconn.ErrReadOnlyConnection) {
		return fmt.Errorf("no Postgres server takes writes: %w", err)
	} else if err != nil {
		return fmt.Errorf("ask Postgres: %w", err)
	}
	if readOnly {
		s.pool.Reset() // as after a write that was refused
		return errReadOnly
	}
	return nil
}

// isReadOnly is an expression: whether the server is a standby or takes no writes for another reason.
const isReadOnly = `(pg_is_in_recovery() or current_setting('transaction_read_only')::boolean)`

// Migrate applies the migrations that are missing, under a lock that keeps other processes out, and returns their names.
func (s *Store) Migrate(ctx context.Context, log *slog.Logger) ([]string, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, migrationPatience))
	if err != nil {
		return nil, fmt.Errorf("make the migration lock: %w", err)
	}
	db := stdlib.OpenDBFromPool(s.pool)
	defer func() { _ = db.Close() }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files(),
		goose.WithSessionLocker(locker), goose.WithSlog(log))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		if _, ok := errors.AsType[*goose.PartialError](err); ok && !passing(err) {
			err = fmt.Errorf("%w: %w", ErrMigration, err)
		}
		return nil, fmt.Errorf("migrate the database: %w", err)
	}
	names := make([]string, 0, len(results))
	for _, result := range results {
		names = append(names, result.Source.Path)
	}
	return names, nil
}

// passing tells whether a migration failed for a reason that is the server's for the moment.
func passing(err error) bool {
	code := sqlState(err)
	return code == "" || slices.ContainsFunc([]string{"08", "25", "40", "53", "55", "57", "58"}, func(class string) bool {
		return strings.HasPrefix(code, class)
	})
}

// prepare asks each new connection for index scans: each of our statements touches a few rows by key. Postgres keeps the plan
// of a statement that it prepared, and one made while the tables were empty reads them whole, which a busy day later is most
// of the server's work. Where a table must be read whole all the same, its made-up price would have Postgres compile the
// statement (jit), for half a second each time. With those scans a plan does not depend on the values, so it is made once a
// connection: planning each call anew had cost about as much as carrying it out.
const prepare = `set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off;
	set plan_cache_mode = force_generic_plan`

// inTx runs do in a transaction, again when it lost against another one. It asks for the isolation level that the locks are
// made for, whatever the server's default.
func (s *Store) inTx(ctx context.Context, what string, do func(pgx.Tx) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errSilent)
	defer cancel()
	var err error
	for range transactionTries {
		err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, do)
		if err == nil {
			return nil
		}
		if !retryable(err) {
			break
		}
	}
	if context.Cause(ctx) == errSilent { //nolint:errorlint // it is this very value
		s.pool.Reset() // the other connections lead to the same silent server
	}
	return fmt.Errorf("%s: %w", what, err)
}

// pipeline sends statements in one round trip and reads their answers in order.
type pipeline struct {
	batch pgx.Batch
}

// exec queues a statement whose rows do not matter.
func (p *pipeline) exec(sql string, args ...any) { p.batch.Queue(sql, args...) }

// query queues a statement whose rows read gets.
func (p *pipeline) query(sql string, read func(pgx.Rows) error, args ...any) {
	p.batch.Queue(sql, args...).Query(read)
}

func (p *pipeline) run(ctx context.Context, tx pgx.Tx) error {
	if p.batch.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &p.batch).Close()
}

// each calls read for every row; scan targets are given with it.
func each(rows pgx.Rows, targets []any, read func() error) error {
	_, err := pgx.ForEachRow(rows, targets, read)
	return err
}

func isNetwork(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
