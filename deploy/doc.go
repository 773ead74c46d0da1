// Package deploy holds what is needed to run Beckon on servers: the Dockerfile, the NATS server's configuration, Caddy's,
// the alert rules, and the notes in README.md. docker-compose.yml lies at the top, where people look for it.
//
// There is no code here, only tests, which need no Docker: they read the files as strictly as their programs would, and
// check that commands, variables, volumes, services and metrics named in one file exist in the other. nats.conf is read
// by the real server's own parser, and the real server is started on it.
package deploy
