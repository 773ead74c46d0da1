package quiet

import (
	"archive/zip"
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // the copy in the program, for machines without zone data
)

// NewestChange is the release of the zone data that Beckon expects at least: 2026e knows that British Columbia, Alberta and
// Manitoba ended their clock changes in 2026.
//
// Source: IANA Time Zone Database, NEWS.
const NewestChange = "2026e"

// maxZoneFile bounds one zone's data; the largest of the database has some 4 KB.
const maxZoneFile = 64 << 10

// machineDirs are where machines keep zone data. Source: package time of Go, zoneinfo_unix.go.
func machineDirs() []string {
	return []string{"/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo"}
}

// Zones gives time zones by name. It is safe for concurrent use.
type Zones struct {
	origin  string // where the data come from, for people
	version string // like 2026a; empty when unknown
	files   fs.FS  // nil: Go's own order, the machine's data and then the copy in the program

	mu    sync.Mutex
	known map[string]*time.Location
}

// OpenZones reads zone data from a directory or a zip file such as Go's zoneinfo.zip. An empty file name means the machine's
// data, and the copy in the program where there are none.
func OpenZones(file string) (*Zones, error) {
	z := &Zones{known: map[string]*time.Location{}}
	if file == "" {
		z.origin = "copy in the program, of " + runtime.Version()
		for _, dir := range machineDirs() {
			if info, err := os.Stat(filepath.Join(dir, "UTC")); err == nil && !info.IsDir() {
				z.origin, z.version = dir, releaseOf(os.DirFS(dir))
				break
			}
		}
		return z, nil
	}
	files, err := openZoneFiles(file)
	if err != nil {
		return nil, fmt.Errorf("open the zone data %s: %w", file, err)
	}
	z.files, z.origin, z.version = files, file, releaseOf(files)
	if _, err := z.Get("America/New_York"); err != nil {
		return nil, fmt.Errorf("open the zone data %s: there is no America/New_York in it", file)
	}
	return z, nil
}

func openZoneFiles(file string) (fs.FS, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return os.DirFS(file), nil
	}
	body, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return zip.NewReader(strings.NewReader(string(body)), int64(len(body)))
}

// releaseOf reads the name of the release from the files that distributions put beside the zones.
func releaseOf(files fs.FS) string {
	for _, name := range []string{"tzdata.zi", "+VERSION", "version"} {
		f, err := files.Open(name)
		if err != nil {
			continue
		}
		line, _ := bufio.NewReader(io.LimitReader(f, maxZoneFile)).ReadString('\n')
		_ = f.Close()
		if release := regexp.MustCompile(`\b(19|20)\d\d[a-z]+\b`).FindString(line); release != "" {
			return release
		}
	}
	return ""
}

// errNoZone says that there is no such zone.
var errNoZone = errors.New("there is no such time zone")

// Get returns the zone of a name such as Europe/Berlin.
func (z *Zones) Get(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%w: %q", errNoZone, name)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if zone := z.known[name]; zone != nil {
		return zone, nil
	}
	zone, err := z.load(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", errNoZone, name)
	}
	z.known[name] = zone
	return zone, nil
}

func (z *Zones) load(name string) (*time.Location, error) {
	if z.files == nil {
		return time.LoadLocation(name)
	}
	body, err := fs.ReadFile(z.files, path.Clean(name))
	if err != nil {
		return nil, err
	}
	return time.LoadLocationFromTZData(name, body)
}

// Version says which zone data are in use, for people, and a warning when they are older than NewestChange; the warning is
// empty when they are not. Data without the name of a release are judged by what they say of the zones that changed.
func (z *Zones) Version() (text, warning string) {
	text = z.origin
	if z.version != "" {
		text = z.version + " from " + z.origin
	}
	if z.version >= NewestChange || z.version == "" && z.changed() { // releases are named 2026a, 2026b, ...
		return text, ""
	}
	return text, "the time zone data (" + text + ") are older than " + NewestChange +
		": local times in British Columbia, Alberta and Manitoba may be an hour off in winter; update the machine's tzdata, or set BECKON_ZONEINFO to newer data"
}

// changed tells whether the data know that three provinces keep one time since 2026.
func (z *Zones) changed() bool {
	for _, name := range []string{"America/Vancouver", "America/Edmonton", "America/Winnipeg"} {
		zone, err := z.Get(name)
		if err != nil {
			return false
		}
		_, summer := time.Date(2027, time.July, 1, 12, 0, 0, 0, zone).Zone()
		_, winter := time.Date(2027, time.December, 1, 12, 0, 0, 0, zone).Zone()
		if summer != winter {
			return false
		}
	}
	return true
}
