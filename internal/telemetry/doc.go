// Package telemetry makes the logger and the metrics registry that the composition root hands to every part. It holds no
// state of its own: two programs in one process (a test) do not share metrics.
//
// Log lines carry no personal values: addresses mask themselves, and field values and message texts are never logged.
package telemetry
