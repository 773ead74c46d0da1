// Package mediaprobe asks the servers of pictures and files what these are, before Twilio fetches them.
//
// It takes URLs and gives Facts: content type and size, as the server's headers say them (Probe); Cache asks in the background, a few
// servers at once, and remembers the answers for a while. A file is never downloaded. It promises to call no address of our own
// network unless allowed (internal/publicnet), nothing but https, and to keep every answer's time short. Whether the facts fit a channel is for
// internal/media to say.
//
// It fails by not knowing: a server that is away, or that answers other than with a file, gives an error without the URL, which may hold a
// person's data. That is no reason not to send: Twilio asks from another place, and says what is so.
//
// Tests run against a real server.
package mediaprobe
