package rule

import (
	"bytes"
	"encoding/xml"
	"maps"
	"slices"
	"strings"
)

// namespaces and names of a WSDL of an outbound message.
//
// Source: Salesforce SOAP API developer guide, "Understanding Outbound Messaging": the sObject's own complexType
// extends ens:sObject in the namespace urn:sobject.enterprise.soap.sforce.com and lists the selected fields.
const (
	sobjectNamespace = "urn:sobject.enterprise.soap.sforce.com"
	sobjectBase      = "sObject"
)

// fieldType is what a WSDL says of a field; everything that we do not compute with is text.
type fieldType uint8

const (
	textField fieldType = iota
	doubleField
	intField
	boolField
	dateField
	timeField
)

// schema is the field list of one sObject, from all WSDLs that describe it.
type schema struct {
	types map[string]fieldType
	// always holds the fields that every WSDL of the object lists. Only of these an absence means null, since a
	// notification does not say which of several outbound messages of one object it belongs to.
	always map[string]struct{}
}

func (s *schema) names() []string { return slices.Sorted(maps.Keys(s.types)) }

type wsdlFile struct {
	Schemas []struct {
		Namespace string     `xml:"targetNamespace,attr"`
		Types     []wsdlType `xml:"complexType"`
	} `xml:"types>schema"`
}

type wsdlType struct {
	Name      string `xml:"name,attr"`
	Extension struct {
		Base     string        `xml:"base,attr"`
		Elements []wsdlElement `xml:"sequence>element"`
	} `xml:"complexContent>extension"`
}

type wsdlElement struct {
	Name string `xml:"name,attr"`
	Type string `xml:"type,attr"`
}

// readWSDL adds the sObjects of one WSDL to schemas, by lower-case object name.
func readWSDL(name string, data []byte, schemas map[string]*schema, problems *problems) {
	decoder := xml.NewDecoder(bytes.NewReader(data))
	var parsed wsdlFile
	if err := decoder.Decode(&parsed); err != nil {
		line, column := decoder.InputPos()
		problems.add(name, position{line, column}, "not a WSDL that can be read: %v", err)
		return
	}
	found := false
	for _, s := range parsed.Schemas {
		for _, t := range s.Types {
			if s.Namespace != sobjectNamespace || localName(t.Extension.Base) != sobjectBase {
				continue
			}
			found = true
			addSchema(schemas, t)
		}
	}
	if !found {
		problems.add(name, position{1, 1}, "no sObject in this WSDL; download it from the outbound message in Setup")
	}
}

func addSchema(schemas map[string]*schema, t wsdlType) {
	types := map[string]fieldType{"Id": textField} // the base type sObject gives it
	for _, e := range t.Extension.Elements {
		types[e.Name] = typeOf(e.Type)
	}
	listed := make(map[string]struct{}, len(types))
	for name := range types {
		listed[name] = struct{}{}
	}
	key := strings.ToLower(t.Name)
	old := schemas[key]
	if old == nil {
		schemas[key] = &schema{types: types, always: listed}
		return
	}
	maps.Copy(old.types, types)
	maps.DeleteFunc(old.always, func(name string, _ struct{}) bool {
		_, both := listed[name]
		return !both
	})
}

func typeOf(xsd string) fieldType {
	switch localName(xsd) {
	case "double", "float", "decimal":
		return doubleField
	case "int", "integer", "long", "short":
		return intField
	case "boolean":
		return boolField
	case "date":
		return dateField
	case "dateTime":
		return timeField
	default:
		return textField
	}
}

func localName(qualified string) string {
	return qualified[strings.LastIndexByte(qualified, ':')+1:]
}
