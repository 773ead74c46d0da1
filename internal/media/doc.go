// Package media knows which pictures and files go out on which channel: how many, of which content types, how large.
//
// It takes URLs and content types and says in words what is wrong with them, or nothing (Table). The facts are data, types.yaml,
// with their source. Words never hold the URL: it may carry a person's data. Pure, no I/O; tested by tables.
package media
