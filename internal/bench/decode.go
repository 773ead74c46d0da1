package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/beckonhq/beckon/internal/notification"
	"github.com/beckonhq/beckon/internal/salesforce"
)

const decodeTime = time.Second // of each decoder

// xmlEnvelope is what encoding/xml needs to find the same values.
type xmlEnvelope struct {
	Organization string            `xml:"Body>notifications>OrganizationId"`
	Action       string            `xml:"Body>notifications>ActionId"`
	List         []xmlNotification `xml:"Body>notifications>Notification"`
}

type xmlNotification struct {
	ID     string `xml:"Id"`
	Object struct {
		Type   string     `xml:"type,attr"`
		Fields []xmlField `xml:",any"`
	} `xml:"sObject"`
}

type xmlField struct {
	XMLName xml.Name
	Value   string `xml:",chardata"`
}

func (b *bench) decode(context.Context) error {
	body, err := largeBody()
	if err != nil {
		return err
	}
	ours, err := decodeRate(body, func() error {
		_, err := salesforce.Decode(body, salesforce.DefaultLimits())
		return err
	})
	if err != nil {
		return err
	}
	unmarshal, err := decodeRate(body, func() error {
		var e xmlEnvelope
		if err := xml.Unmarshal(body, &e); err != nil {
			return err
		}
		if len(e.List) != notification.MaxPerEnvelope || len(e.List[0].Object.Fields) != largeFields+1 {
			return errors.New("encoding/xml read something else")
		}
		return nil
	})
	if err != nil {
		return err
	}
	tokens, err := decodeRate(body, func() error { return readTokens(body) })
	if err != nil {
		return err
	}
	b.table.reach("decode an envelope of 100", fmt.Sprintf("%.0f MB/s", ours),
		fmt.Sprintf("encoding/xml Unmarshal %.0f MB/s (%sx), its Token loop %.0f MB/s (%sx)", unmarshal, ratio(ours, unmarshal), tokens, ratio(ours, tokens)),
		"5x encoding/xml", ours >= 5*max(unmarshal, tokens))
	return nil
}

func readTokens(body []byte) error {
	decoder := xml.NewDecoder(bytes.NewReader(body))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// decodeRate is in MB (10^6 bytes) a second, on one processor.
func decodeRate(body []byte, decode func() error) (float64, error) {
	began, n := time.Now(), 0
	for time.Since(began) < decodeTime {
		if err := decode(); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) * float64(len(body)) / 1e6 / time.Since(began).Seconds(), nil
}

const largeFields = 8

// largeBody is an envelope of 100 notifications, about 60 KB.
func largeBody() ([]byte, error) {
	e := &notification.Envelope{Org: benchOrg, Action: "04k000000000001AAA", Object: object}
	for i := range notification.MaxPerEnvelope {
		n := notification.Notification{ID: notification.ID(fmt.Sprintf("04l00000000%04dAAA", i)), RecordID: "006000000000001AAA"}
		n.Fields = []notification.Field{{Name: "Id", Value: string(n.RecordID)}}
		for f := range largeFields {
			n.Fields = append(n.Fields, notification.Field{Name: fmt.Sprintf("Custom_%d__c", f), Value: fieldText})
		}
		e.Notifications = append(e.Notifications, n)
	}
	var out bytes.Buffer
	err := salesforce.Encode(&out, salesforce.EnvelopeSpec{Envelope: e})
	return out.Bytes(), err
}
