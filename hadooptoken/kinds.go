package hadooptoken

import (
	"cmp"
	"fmt"

	"github.com/tokenwheel/tokenwheel/internal/writable"
)

// Identifiers with a form of their own. All but Kafka's are protobufs, whose
// field numbers are those of the project named at each.

// parseKafka: the identifier is the text of the token's id, as Spark stores it.
func parseKafka(id *Identifier, b []byte) error {
	if len(b) == 0 {
		return errMissing("token id")
	}
	id.TokenID = string(b)
	return checkText("token id", id.TokenID)
}

// parseYARN reads a YARNDelegationTokenIdentifierProto. Java leaves out fields
// at their default value, so that none is required.
func parseYARN(id *Identifier, b []byte) error {
	return eachField(b, func(f field) error {
		switch f.number {
		case 1:
			return f.setText(&id.Owner, "owner")
		case 2:
			return f.setText(&id.Renewer, "renewer")
		case 3:
			return f.setText(&id.RealUser, "real user")
		case 4:
			return f.setDate(&id.Issued)
		case 5:
			return f.setDate(&id.Max)
		case 6:
			return f.setInt32(&id.Sequence)
		case 7:
			return f.setKey(&id.MasterKeyID)
		}
		return nil
	})
}

// parseHBase reads a 4-byte length and HBase's TokenIdentifier. Such a token
// cannot be renewed: its expiration is the max date.
func parseHBase(id *Identifier, b []byte) error {
	const authToken = 0
	r := writable.NewReader(b)
	message := r.Sized(int(r.Int32()))
	if err := r.Err(); err != nil {
		return err
	}
	var seen fieldSet
	err := eachField(message, func(f field) error {
		seen.add(f)
		switch f.number {
		case 1:
			return f.want("kind", authToken)
		case 2:
			return f.setText(&id.Owner, "username")
		case 3:
			return f.setKey(&id.MasterKeyID)
		case 4:
			return f.setDate(&id.Issued)
		case 5:
			return f.setDate(&id.Max)
		case 6:
			return f.setInt64(&id.Sequence)
		}
		return nil
	})
	return cmp.Or(err, seen.require(1, "kind"), seen.require(2, "username"), seen.require(3, "key id"))
}

// parseOzone reads an OMTokenProto. Secrets of the S3 gateway share the message
// and are refused: they are no delegation tokens.
func parseOzone(id *Identifier, b []byte) error {
	const delegationToken = 1
	var seen fieldSet
	err := eachField(b, func(f field) error {
		seen.add(f)
		switch f.number {
		case 1:
			return f.want("type", delegationToken)
		case 3:
			return f.setText(&id.Owner, "owner")
		case 4:
			return f.setText(&id.Renewer, "renewer")
		case 5:
			return f.setText(&id.RealUser, "real user")
		case 6:
			return f.setDate(&id.Issued)
		case 7:
			return f.setDate(&id.Max)
		case 8:
			return f.setInt64(&id.Sequence)
		case 9:
			return f.setKey(&id.MasterKeyID)
		case 11:
			return f.setText(&id.CertSerial, "certificate serial")
		case 15:
			return f.setText(&id.OMService, "service id")
		}
		return nil
	})
	return cmp.Or(err, seen.require(1, "type"))
}

// parseAMRM reads an AMRMTokenIdentifierProto, in which key id -1 stands for
// none.
func parseAMRM(id *Identifier, b []byte) error {
	id.MasterKeyID = -1
	var a attempt
	var seen fieldSet
	err := eachField(b, func(f field) error {
		seen.add(f)
		switch f.number {
		case 1:
			return f.each(a.readField)
		case 2:
			return f.setKey(&id.MasterKeyID)
		}
		return nil
	})
	id.Attempt = a.String()
	return cmp.Or(err, seen.require(1, "application attempt"))
}

// attempt is an ApplicationAttemptIdProto with the ApplicationIdProto in it.
type attempt struct{ cluster, app, number int64 }

func (a *attempt) readField(f field) error {
	switch f.number {
	case 1:
		return f.each(a.readAppField)
	case 2:
		return f.setInt32(&a.number)
	}
	return nil
}

func (a *attempt) readAppField(f field) error {
	switch f.number {
	case 1:
		return f.setInt32(&a.app)
	case 2:
		return f.setInt64(&a.cluster)
	}
	return nil
}

// String is that of Java's ApplicationAttemptId.
func (a *attempt) String() string {
	return fmt.Sprintf("appattempt_%d_%04d_%06d", a.cluster, a.app, a.number)
}
