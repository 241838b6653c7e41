package varve

import (
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/varvekv/varve/export"
)

// This file spells every object name of a collection:
//
//	varve.json
//	<path>/progress/<n>, of which 0 is the claim
//	<path>/data/<layer>-<task>-<file>.sst
//	<path>/files.sst
//	<path>/BACKUP_MANIFEST
//	<path>/objects.sst and <path>/keys/<id> of a sealed layer
//	index/<inverted end>-<start>-<layer>-<parent>-<chain>/<path>
//	refs/<layer>/<holder>
//	retired/<layer>
//	verified/<layer>/<level>-<id>
//	expired/<run>
//	probe/<id>/<name>
//	jobs/<id>/<n>
//
// where <path> is 2006/01/02-150405.00 of a full's end, or the name it was given; an
// incremental's is appended to that of its full.

const (
	collectionObject = "varve.json"
	indexPrefix      = "index/"
	refsPrefix       = "refs/"
	retiredPrefix    = "retired/"
	verifiedPrefix   = "verified/"
	expiredPrefix    = "expired/"
	probePrefix      = "probe/"
	jobsPrefix       = "jobs/"

	claimName    = "progress/0"
	progressName = "progress/"
	dataFolder   = "data/"
	fileListName = "files.sst"
	manifestName = "BACKUP_MANIFEST"

	objectListName = "objects.sst"
	keyFolder      = "keys/"
)

func claimObject(layerPath string) string    { return layerPath + "/" + claimName }
func fileListObject(layerPath string) string { return layerPath + "/" + fileListName }
func manifestObject(layerPath string) string { return layerPath + "/" + manifestName }

func objectListObject(layerPath string) string { return layerPath + "/" + objectListName }

// formatKey is the name of a key that was added to a sealed layer.
func formatKey(layerPath, id string) string { return layerPath + "/" + keyFolder + id }

// parseKey reads what formatKey wrote.
func parseKey(object string) (layerPath, id string, err error) {
	folder, id := path.Split(object)
	layerPath, ok := strings.CutSuffix(folder, "/"+keyFolder)
	if !ok || checkID(id) != nil || checkPath(layerPath) != nil {
		return "", "", fmt.Errorf("object %q: not the name of an added key", object)
	}
	return layerPath, id, nil
}

// idBytes make an ID that nobody draws twice.
const idBytes = 16

var idPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// newID draws the ID of a layer, job, collection or lineage: 32 hex digits.
func newID(random io.Reader) (string, error) {
	var b [idBytes]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("draw an ID: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

func checkID(id string) error {
	if !idPattern.MatchString(id) {
		return fmt.Errorf("ID %q: want 32 hex digits", id)
	}
	return nil
}

const pathLayout = "2006/01/02-150405.00"

// formatPath is where a full that ends at end goes. Another that has taken the
// same hundredth of a second makes it a rival, see rivalPath.
func formatPath(end Timestamp) string { return end.Time().Format(pathLayout) }

// parsePath reads the time that formatPath wrote.
func parsePath(p string) (time.Time, error) { return time.Parse(pathLayout, p) }

const (
	endLayout         = "20060102/150405.00"
	startLayout       = "20060102-150405.00"
	incrementalSuffix = "/" + endLayout + "-" + startLayout
)

// formatIncremental is where an incremental goes: below its full, by its end and
// then its start.
func formatIncremental(fullPath string, start, end Timestamp) string {
	return fullPath + "/" + end.Time().Format(endLayout) + "-" + start.Time().Format(startLayout)
}

// parseIncremental reads what formatIncremental wrote.
func parseIncremental(p string) (fullPath string, start, end time.Time, err error) {
	bad := fmt.Errorf("path %q: not that of an incremental", p)
	if len(p) <= len(incrementalSuffix) {
		return "", start, end, bad
	}
	fullPath, times := p[:len(p)-len(incrementalSuffix)], p[len(p)-len(incrementalSuffix):]
	var startErr, endErr error
	end, endErr = time.Parse("/"+endLayout+"-", times[:len(endLayout)+2])
	start, startErr = time.Parse(startLayout, times[len(endLayout)+2:])
	if endErr != nil || startErr != nil || checkPath(fullPath) != nil {
		return "", time.Time{}, time.Time{}, bad
	}
	if formatIncremental(fullPath, export.At(start), export.At(end)) != p {
		return "", time.Time{}, time.Time{}, bad
	}
	return fullPath, start, end, nil
}

// rivalDigits of a layer's ID tell its path from that of another.
const rivalDigits = 6

// rivalPath is the path for a layer whose own was claimed by another.
func rivalPath(p, layer string) string { return p + "-" + layer[:rivalDigits] }

var segmentPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// reservedSegments would make a layer's path look like something else.
var reservedSegments = map[string]bool{
	collectionObject: true, manifestName: true, fileListName: true, "progress": true, "data": true,
	objectListName: true, "keys": true, "index": true, "refs": true, "retired": true,
	"verified": true, "expired": true, "probe": true, "jobs": true, Latest: true,
}

// maxPath keeps index names, which contain the path, below the 1,024 bytes that
// every bucket allows. maxName leaves room in it for a rival of a full, and for a
// rival of an incremental below that.
const (
	maxPath     = 512
	rivalSuffix = 1 + rivalDigits
	maxName     = maxPath - rivalSuffix - len(incrementalSuffix) - rivalSuffix
)

// checkPath says why p cannot be the path of a layer. It is what keeps names that
// were read from leaving the collection.
func checkPath(p string) error {
	if p == "" || len(p) > maxPath {
		return fmt.Errorf("path %q: want 1 to %d bytes", p, maxPath)
	}
	for s := range strings.SplitSeq(p, "/") {
		if !segmentPattern.MatchString(s) {
			return fmt.Errorf("path %q: segment %q is not made of letters, digits, '.', '_' and '-'", p, s)
		}
		if reservedSegments[s] {
			return fmt.Errorf("path %q: %q is a reserved name", p, s)
		}
	}
	if checkID(p) == nil {
		return fmt.Errorf("path %q: looks like a layer ID", p)
	}
	return nil
}

// cleanPrefix is the place of a collection in a bucket, without slashes around it.
func cleanPrefix(p string) (string, error) {
	p = strings.Trim(p, "/")
	for s := range strings.SplitSeq(p, "/") {
		if p != "" && !segmentPattern.MatchString(s) {
			return "", fmt.Errorf("segment %q is not made of letters, digits, '.', '_' and '-'", s)
		}
	}
	return p, nil
}

// formatData is the name of a payload table. It contains the layer's ID, so that
// two runs which both believe that they own the path never share an object.
func formatData(layerPath, layer string, task, file int) string {
	return fmt.Sprintf("%s/%s%s-%05d-%04d.sst", layerPath, dataFolder, layer, task, file)
}

var dataPattern = regexp.MustCompile(`^([0-9a-f]{32})-([0-9]{5,9})-([0-9]{4,9})\.sst$`)

// parseData reads what formatData wrote.
func parseData(object string) (layerPath, layer string, task, file int, err error) {
	folder, name := path.Split(object)
	layerPath, ok := strings.CutSuffix(folder, "/"+dataFolder)
	m := dataPattern.FindStringSubmatch(name)
	if !ok || m == nil || checkPath(layerPath) != nil {
		return "", "", 0, 0, fmt.Errorf("object %q: not the name of a table in a collection", object)
	}
	task, taskErr := strconv.Atoi(m[2])
	file, fileErr := strconv.Atoi(m[3])
	if taskErr != nil || fileErr != nil || formatData(layerPath, m[1], task, file) != object {
		return "", "", 0, 0, fmt.Errorf("object %q: not the name of a table in a collection", object)
	}
	return layerPath, m[1], task, file, nil
}

// formatRef is the name of the object by which a holder, a layer or a run by its ID,
// says that it needs a layer.
func formatRef(layer, holder string) string { return refsPrefix + layer + "/" + holder }

// parseRef reads what formatRef wrote.
func parseRef(object string) (layer, holder string, err error) {
	rest, ok := strings.CutPrefix(object, refsPrefix)
	layer, holder, cut := strings.Cut(rest, "/")
	if !ok || !cut || checkID(layer) != nil || checkID(holder) != nil {
		return "", "", fmt.Errorf("object %q: not the name of a reference", object)
	}
	return layer, holder, nil
}

// formatRetired is the name of the object that says that a layer is on its way out.
func formatRetired(layer string) string { return retiredPrefix + layer }

// parseRetired reads what formatRetired wrote.
func parseRetired(object string) (layer string, err error) {
	layer, ok := strings.CutPrefix(object, retiredPrefix)
	if !ok || checkID(layer) != nil {
		return "", fmt.Errorf("object %q: not the name of a retired layer", object)
	}
	return layer, nil
}

// formatVerified is the name of the object that says that a layer was verified.
func formatVerified(layer string, level VerifyLevel, id string) string {
	return verifiedPrefix + layer + "/" + level.String() + "-" + id
}

// parseVerified reads what formatVerified wrote.
func parseVerified(object string) (layer string, level VerifyLevel, err error) {
	rest, ok := strings.CutPrefix(object, verifiedPrefix)
	layer, name, cut := strings.Cut(rest, "/")
	levelName, id, hasLevel := strings.Cut(name, "-")
	level = VerifyLevel(slices.Index(verifyNames[:], levelName))
	if !ok || !cut || !hasLevel || level < VerifyExists || checkID(layer) != nil || checkID(id) != nil {
		return "", 0, fmt.Errorf("object %q: not the name of a verification", object)
	}
	return layer, level, nil
}

// formatExpired is the name of the record of a run that expires layers.
func formatExpired(run string) string { return expiredPrefix + run }

// parseExpired reads what formatExpired wrote.
func parseExpired(object string) (run string, err error) {
	run, ok := strings.CutPrefix(object, expiredPrefix)
	if !ok || checkID(run) != nil {
		return "", fmt.Errorf("object %q: not the name of the record of an expiry", object)
	}
	return run, nil
}

// formatJob is the name of the n-th record of a job.
func formatJob(job string, n int) string { return jobsPrefix + job + "/" + strconv.Itoa(n) }

// parseJob reads what formatJob wrote.
func parseJob(object string) (job string, n int, err error) {
	rest, ok := strings.CutPrefix(object, jobsPrefix)
	job, number, cut := strings.Cut(rest, "/")
	n, atoiErr := strconv.Atoi(number)
	if !ok || !cut || atoiErr != nil || checkID(job) != nil || n < 0 || formatJob(job, n) != object {
		return "", 0, fmt.Errorf("object %q: not the name of a record of a job", object)
	}
	return job, n, nil
}

// checkpointObject is the name of a record of progress, from 1 on: 0 is the claim.
func checkpointObject(layerPath string, n int) string {
	return layerPath + "/" + progressName + strconv.Itoa(n)
}

// parseCheckpoint reads the name of a record of progress, or of a claim.
func parseCheckpoint(object string) (layerPath string, n int, err error) {
	layerPath, part, err := parsePart(object)
	number, ok := strings.CutPrefix(part, progressName)
	n, atoiErr := strconv.Atoi(number)
	if err != nil || !ok || atoiErr != nil {
		return "", 0, fmt.Errorf("object %q: not the name of a record of progress", object)
	}
	return layerPath, n, nil
}

var progressPattern = regexp.MustCompile(`^progress/(0|[1-9][0-9]{0,17})$`)

// parsePart is the layer's path, and the object's name there, of any object that
// belongs to one.
func parsePart(object string) (layerPath, part string, err error) {
	for _, name := range []string{"/" + manifestName, "/" + fileListName, "/" + objectListName} {
		if layerPath, ok := strings.CutSuffix(object, name); ok && checkPath(layerPath) == nil {
			return layerPath, name[1:], nil
		}
	}
	if layerPath, _, err := parseKey(object); err == nil {
		return layerPath, object[len(layerPath)+1:], nil
	}
	if i := strings.LastIndex(object, "/"+progressName); i >= 0 && progressPattern.MatchString(object[i+1:]) && checkPath(object[:i]) == nil {
		return object[:i], object[i+1:], nil
	}
	if layerPath, _, _, _, err = parseData(object); err != nil {
		return "", "", fmt.Errorf("object %q: not one of a layer", object)
	}
	return layerPath, object[len(layerPath)+1:], nil
}

// noParent stands for the parent of a full in the name of an index object.
const noParent = "0"

// formatIndex is the name of the index object of a layer. Names sort from the
// newest end to the oldest, those of one end by start and then by ID.
func formatIndex(l LayerInfo) string {
	parent := l.ParentID
	if parent == "" {
		parent = noParent
	}
	return indexPrefix + strings.Join([]string{formatInverted(l.End), formatAscending(l.Start), l.ID, parent, l.ChainID}, "-") + "/" + l.Path
}

// parseIndex reads what formatIndex wrote.
func parseIndex(object string) (LayerInfo, error) {
	bad := fmt.Errorf("object %q: not the name of an index entry", object)
	rest, ok := strings.CutPrefix(object, indexPrefix)
	fixed, layerPath, hasPath := strings.Cut(rest, "/")
	f := strings.Split(fixed, "-")
	if !ok || !hasPath || len(f) != 5 {
		return LayerInfo{}, bad
	}
	l := LayerInfo{ID: f[2], ParentID: f[3], ChainID: f[4], Path: layerPath}
	if l.ParentID == noParent {
		l.ParentID = ""
	}
	var endErr, startErr error
	l.End, endErr = parseInverted(f[0])
	l.Start, startErr = parseAscending(f[1])
	if endErr != nil || startErr != nil || l.validate() != nil || formatIndex(l) != object {
		return LayerInfo{}, bad
	}
	return l, nil
}

// formatAscending sorts as timestamps do: the wall time with its sign bit turned,
// and the logical counter, in hex.
func formatAscending(t Timestamp) string {
	return fmt.Sprintf("%016x%08x", uint64(t.WallNanos)^(1<<63), t.Logical)
}

func parseAscending(s string) (Timestamp, error) {
	if len(s) != 24 {
		return Timestamp{}, fmt.Errorf("timestamp %q: want 24 hex digits", s)
	}
	wall, wallErr := strconv.ParseUint(s[:16], 16, 64)
	logical, logicalErr := strconv.ParseUint(s[16:], 16, 32)
	if wallErr != nil || logicalErr != nil {
		return Timestamp{}, fmt.Errorf("timestamp %q: want 24 hex digits", s)
	}
	return Timestamp{WallNanos: int64(wall ^ (1 << 63)), Logical: uint32(logical)}, nil
}

// formatInverted sorts against time, so that a plain listing begins with the
// newest.
func formatInverted(t Timestamp) string { return formatAscending(invert(t)) }

func parseInverted(s string) (Timestamp, error) {
	t, err := parseAscending(s)
	return invert(t), err
}

func invert(t Timestamp) Timestamp {
	return Timestamp{WallNanos: ^t.WallNanos, Logical: math.MaxUint32 - t.Logical}
}
