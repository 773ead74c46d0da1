package view

import "strconv"

// MediaPath is where the private listener gives the n-th (from 0) picture or file of a reply.
func MediaPath(sid string, n int) string { return "/api/v1/media/" + sid + "/" + strconv.Itoa(n) }
