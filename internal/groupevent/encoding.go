package groupevent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Constants of the encoding. A hash covers them, so that they never change in this version of the format.
const (
	specVersion = "1.0"
	contentType = "application/json"
	// SchemaID is the dataschema of every event, and the $id of the JSON Schema.
	SchemaID = "https://keyward.dev/schemas/group-event-v1.json"

	ocsfVersion = "1.9.0"
	ocsfProfile = "record_integrity"
	ocsfClass   = 3004
	sourceForm  = "/keyward/namespaces/%s/groups/%s"
	timeForm    = "2006-01-02T15:04:05.000Z"
)

// envelope is the CloudEvent.
type envelope struct {
	SpecVersion     string `json:"specversion"`
	ID              string `json:"id"`
	Source          string `json:"source"`
	Type            string `json:"type"`
	Subject         string `json:"subject"`
	Time            string `json:"time"`
	DataContentType string `json:"datacontenttype"`
	DataSchema      string `json:"dataschema"`
	// Sequence is the extension of CloudEvents: a text that sorts like the number.
	Sequence string `json:"sequence"`
	Data     record `json:"data"`
}

// record is the OCSF event.
type record struct {
	ClassUID    int           `json:"class_uid"`
	CategoryUID int           `json:"category_uid"`
	ActivityID  int           `json:"activity_id"`
	TypeUID     int           `json:"type_uid"`
	SeverityID  int           `json:"severity_id"`
	StatusID    int           `json:"status_id"`
	Time        int64         `json:"time"`
	Metadata    metadata      `json:"metadata"`
	Actor       actor         `json:"actor"`
	Entity      entity        `json:"entity"`
	Attestation []attestation `json:"attestation_list"`
	// Unmapped is what OCSF has no names for: the data of the type.
	Unmapped json.RawMessage `json:"unmapped"`
}

type metadata struct {
	Version   string   `json:"version"`
	Product   product  `json:"product"`
	Profiles  []string `json:"profiles"`
	UID       string   `json:"uid"`
	EventCode string   `json:"event_code"`
	Sequence  uint64   `json:"sequence"`
	LogName   string   `json:"log_name"`
}

type product struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name"`
}

type actor struct {
	AppName string `json:"app_name,omitempty"`
	User    *user  `json:"user,omitempty"`
}

type user struct {
	Name   string  `json:"name"`
	Groups []named `json:"groups,omitempty"`
}

type named struct {
	Name string `json:"name"`
}

type entity struct {
	Name string `json:"name"`
	UID  string `json:"uid,omitempty"`
	Type string `json:"type"`
}

type attestation struct {
	ChainUID    string       `json:"chain_uid"`
	PrevEvent   *prevEvent   `json:"prev_event,omitempty"`
	Fingerprint *fingerprint `json:"fingerprint,omitempty"`
}

type prevEvent struct {
	UID         string      `json:"uid"`
	Fingerprint fingerprint `json:"fingerprint"`
}

type fingerprint struct {
	Algorithm   string `json:"algorithm"`
	AlgorithmID int    `json:"algorithm_id"`
	Value       string `json:"value"`
}

func sha256Print(hash string) fingerprint {
	return fingerprint{Algorithm: "SHA-256", AlgorithmID: 3, Value: hash}
}

func (e *Event) record() record {
	from := attestation{ChainUID: e.Group.UID}
	if e.PrevHash != "" {
		from.PrevEvent = &prevEvent{UID: e.PrevID, Fingerprint: sha256Print(e.PrevHash)}
	}
	by := actor{AppName: e.Actor.Via}
	if e.Actor.User != "" {
		by.User = &user{Name: e.Actor.User}
		for _, name := range e.Actor.Groups {
			by.User.Groups = append(by.User.Groups, named{name})
		}
	}
	return record{
		ClassUID: ocsfClass, CategoryUID: ocsfClass / 1000, ActivityID: e.Activity, TypeUID: ocsfClass*100 + e.Activity,
		SeverityID: e.Severity, StatusID: 1, Time: e.Time.UnixMilli(),
		Metadata: metadata{
			Version: ocsfVersion, Product: product{"Keyward", "Keyward"}, Profiles: []string{ocsfProfile}, UID: e.ID,
			EventCode: string(e.Type), Sequence: e.Sequence, LogName: e.Group.Namespace + "/" + e.Group.Name,
		},
		Actor:       by,
		Entity:      entity{Name: joined(e.Subject.Namespace, e.Subject.Name), UID: e.Subject.UID, Type: e.Subject.Kind},
		Attestation: []attestation{from}, Unmapped: e.Data,
	}
}

// joined is namespace/name, or the name of what has no namespace.
func joined(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// Sum returns the hash that the event should have.
func (e *Event) Sum() (string, error) {
	encoded, err := marshal(e.record())
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:]), nil
}

func (e *Event) encode() ([]byte, error) {
	data := e.record()
	if e.Hash != "" {
		own := sha256Print(e.Hash)
		data.Attestation[0].Fingerprint = &own
	}
	return marshal(envelope{
		SpecVersion: specVersion, ID: e.ID, Source: fmt.Sprintf(sourceForm, e.Group.Namespace, e.Group.Name), Type: string(e.Type),
		Subject: joined(e.Subject.Namespace, e.Subject.Name), Time: e.Time.UTC().Format(timeForm), DataContentType: contentType,
		DataSchema: SchemaID, Sequence: fmt.Sprintf("%020d", e.Sequence), Data: data,
	})
}

func marshal(value any) ([]byte, error) {
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encoding an event: %w", err)
	}
	return canonical(encoded)
}

// Encode returns the encoding of an event that Append has put into a log: one line, without a line end.
func (e *Event) Encode() ([]byte, error) {
	if e.Hash == "" || e.Sequence == 0 {
		return nil, errors.New("the event is in no log yet")
	}
	return e.encode()
}

// OCSF returns the OCSF event alone, as one line.
func (e *Event) OCSF() ([]byte, error) {
	data := e.record()
	own := sha256Print(e.Hash)
	data.Attestation[0].Fingerprint = &own
	return marshal(data)
}

// Decode returns the event of a line. It refuses every text that Encode does not return: other fields, other values of what the
// format fixes, another order or white space. It does not check the hash.
func Decode(line []byte) (Event, error) {
	if len(line) > MaxSize {
		return Event{}, fmt.Errorf("a line of %d bytes is no event; the largest has %d", len(line), MaxSize)
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	var read envelope
	if err := decoder.Decode(&read); err != nil {
		return Event{}, fmt.Errorf("not an event: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Event{}, errors.New("not an event: there is something after it")
	}
	event, err := read.event()
	if err != nil {
		return Event{}, err
	}
	again, err := event.Encode()
	if err != nil {
		return Event{}, fmt.Errorf("not an event: %w", err)
	}
	if !bytes.Equal(again, line) {
		return Event{}, errors.New("not an event: it is encoded in another form, or its parts contradict each other")
	}
	return event, nil
}

// event takes each value from one place. Decode compares all others with it.
func (r *envelope) event() (Event, error) {
	if len(r.Data.Attestation) != 1 || r.Data.Attestation[0].Fingerprint == nil {
		return Event{}, errors.New("not an event: it has no attestation")
	}
	from := r.Data.Attestation[0]
	group := Group{UID: from.ChainUID}
	group.Namespace, group.Name, _ = strings.Cut(r.Data.Metadata.LogName, "/")
	subject := Subject{Kind: r.Data.Entity.Type, UID: r.Data.Entity.UID, Name: r.Data.Entity.Name}
	if namespace, name, found := strings.Cut(r.Data.Entity.Name, "/"); found {
		subject.Namespace, subject.Name = namespace, name
	}
	event := Event{
		Group: group, Sequence: r.Data.Metadata.Sequence, ID: r.ID, Type: Type(r.Type), Activity: r.Data.ActivityID,
		Severity: r.Data.SeverityID, Time: time.UnixMilli(r.Data.Time).UTC(), Subject: subject,
		Actor: Actor{Via: r.Data.Actor.AppName}, Data: r.Data.Unmapped, Hash: from.Fingerprint.Value,
	}
	if by := r.Data.Actor.User; by != nil {
		event.Actor.User = by.Name
		for _, group := range by.Groups {
			event.Actor.Groups = append(event.Actor.Groups, group.Name)
		}
	}
	if before := from.PrevEvent; before != nil {
		event.PrevID, event.PrevHash = before.UID, before.Fingerprint.Value
	}
	return event, event.check()
}
