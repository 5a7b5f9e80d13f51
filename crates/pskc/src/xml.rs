//! XML as far as PSKC needs it: one container, whose children are handed out one by one as small trees.
//!
//! Nothing is ever opened. A DTD is refused, so no entity exists but the five of XML itself; depth, and the
//! size of each child, are bounded. Namespaces are told apart only as ours or foreign: producers disagree about
//! which of the known ones an element belongs to, and the elements' own names are distinct.

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;
use zeroize::Zeroizing;

use crate::problem::{Problem, PskcError};
use crate::token::{shown, shown_words};

/// The namespace of RFC 6030 §4.
pub(crate) const PSKC: &str = "urn:ietf:params:xml:ns:keyprov:pskc";

/// The namespaces that PSKC borrows elements from: signatures, encryption, and key derivation.
const BORROWED: [&str; 4] = [
    "http://www.w3.org/2000/09/xmldsig#",
    "http://www.w3.org/2001/04/xmlenc#",
    "http://www.w3.org/2009/xmlenc11#",
    "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#",
];

/// Deepest nesting. The deepest element of RFC 6030 is the eighth.
const DEPTH_MAX: usize = 32;

/// Most elements in one child of the container. A package with everything in it has about 40.
const ELEMENTS_MAX: usize = 512;

/// Most bytes of text and attributes in one child. A package has 1 KiB, a certificate 4 KiB.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// What is said of a child beyond either.
const TOO_MUCH: &str = "more in one package than 512 elements or 64 KiB";

/// An element with all that is in it.
pub(crate) struct Element {
    /// Its name without prefix.
    pub(crate) name: String,
    /// Where its name is from.
    pub(crate) namespace: Namespace,
    attributes: Vec<(String, String)>,
    text: Zeroizing<String>,
    children: Vec<Element>,
}

/// Where a name is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// PSKC itself.
    Pskc,
    /// One of those that PSKC borrows from, or none: PBKDF2's parameters stand there without one.
    Borrowed,
    /// Any other.
    Foreign,
}

/// A document at one of the container's children.
pub(crate) struct Container<'a> {
    source: Source<'a>,
    root: Element,
    is_over: bool,
}

impl<'a> Container<'a> {
    /// Reads up to the container's start tag.
    pub(crate) fn open(text: &'a str) -> Result<Self, PskcError> {
        let mut source = Source::new(text);
        loop {
            match source.next()? {
                Piece::Start(root) if root.name == "KeyContainer" && root.namespace == Namespace::Pskc => {
                    return Ok(Self { source, root, is_over: false });
                }
                Piece::Start(other) => {
                    let problem =
                        format!("its root is `{}`, not a KeyContainer of {PSKC}", shown(&other.name));
                    return Err(PskcError::NotPskc { problem });
                }
                Piece::Text(text) if !text.trim().is_empty() => {
                    return Err(source.error("text before the root"));
                }
                Piece::Text(_) | Piece::Nothing => {}
                Piece::End => return Err(source.error("an end tag without its start")),
                Piece::Over => {
                    return Err(PskcError::NotPskc { problem: String::from("it holds no element") });
                }
            }
        }
    }

    /// The container itself, without its children.
    pub(crate) fn root(&self) -> &Element {
        &self.root
    }

    /// The next child with all that is in it; none after the last, once the document has ended as it should.
    pub(crate) fn next_child(&mut self) -> Result<Option<Element>, PskcError> {
        while !self.is_over {
            match self.source.next()? {
                Piece::Start(child) => return self.source.tree(child).map(Some),
                Piece::Text(text) if !text.trim().is_empty() => {
                    return Err(self.source.error("text between the packages"));
                }
                Piece::Text(_) | Piece::Nothing => {}
                Piece::End => {
                    self.is_over = true;
                    self.check_end()?;
                }
                Piece::Over => return Err(self.source.error("the document ends inside the container")),
            }
        }
        Ok(None)
    }

    fn check_end(&mut self) -> Result<(), PskcError> {
        loop {
            match self.source.next()? {
                Piece::Over => return Ok(()),
                Piece::Text(text) if text.trim().is_empty() => {}
                Piece::Nothing => {}
                Piece::Text(_) | Piece::Start(_) | Piece::End => {
                    return Err(self.source.error("something follows the container"));
                }
            }
        }
    }
}

impl Element {
    /// The text directly in it, without space around it.
    pub(crate) fn text(&self) -> &str {
        self.text.trim()
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim())
    }

    pub(crate) fn attribute_names(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(|(key, _)| key.as_str())
    }

    pub(crate) fn children(&self) -> &[Element] {
        &self.children
    }

    /// The child of that name that is not foreign, if there is one.
    ///
    /// # Errors
    /// Where there are two: whoever reads the other one reads another key.
    pub(crate) fn child(&self, name: &str) -> Result<Option<&Element>, Problem> {
        let mut found =
            self.children.iter().filter(|child| child.name == name && child.namespace != Namespace::Foreign);
        let first = found.next();
        match found.next() {
            None => Ok(first),
            Some(_) => Err(Problem::Twice { element: name.to_owned() }),
        }
    }

    /// What stands at the end of a path of names.
    pub(crate) fn descendant(&self, path: &[&str]) -> Result<Option<&Element>, Problem> {
        let mut at = self;
        for name in path {
            match at.child(name)? {
                Some(child) => at = child,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }
}

/// What the parser finds, reduced to what matters here.
enum Piece {
    /// A start tag, as an element without content.
    Start(Element),
    End,
    Text(Zeroizing<String>),
    /// A comment or the like.
    Nothing,
    Over,
}

struct Source<'a> {
    reader: NsReader<&'a [u8]>,
}

impl<'a> Source<'a> {
    fn new(text: &'a str) -> Self {
        let mut reader = NsReader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        Self { reader }
    }

    fn next(&mut self) -> Result<Piece, PskcError> {
        let (namespace, event) = match self.reader.read_resolved_event() {
            Ok((resolved, event)) => (Namespace::of(&resolved), event),
            Err(error) => return Err(self.error(&error.to_string())),
        };
        // Before anything of it is copied.
        let is_content =
            matches!(event, Event::Start(_) | Event::Empty(_) | Event::Text(_) | Event::CData(_));
        if is_content && event.len() > TEXT_BYTES_MAX {
            return Err(self.error(TOO_MUCH));
        }
        match event {
            Event::Start(start) | Event::Empty(start) => Ok(Piece::Start(self.element(&start, namespace)?)),
            Event::End(_) => Ok(Piece::End),
            Event::Text(text) => Ok(piece_of_text(&text.xml10_content())),
            Event::CData(text) => Ok(piece_of_text(&text.xml10_content())),
            Event::GeneralRef(reference) => self.resolve(&reference),
            Event::Decl(declaration) => self.check_declaration(&declaration).map(|()| Piece::Nothing),
            Event::Comment(_) | Event::PI(_) => Ok(Piece::Nothing),
            Event::DocType(_) => Err(PskcError::Dtd),
            Event::Eof => Ok(Piece::Over),
        }
    }

    /// Reads on to the element's end.
    fn tree(&mut self, root: Element) -> Result<Element, PskcError> {
        let (mut elements, mut bytes) = (1, root.attribute_bytes());
        let mut open = vec![root];
        loop {
            let piece = self.next()?;
            if let Piece::Start(element) = &piece {
                elements += 1;
                bytes += element.attribute_bytes();
            } else if let Piece::Text(text) = &piece {
                bytes += text.len();
            }
            if elements > ELEMENTS_MAX || bytes > TEXT_BYTES_MAX {
                return Err(self.error(TOO_MUCH));
            }
            match piece {
                // The container itself is one level.
                Piece::Start(_) if open.len() + 1 >= DEPTH_MAX => {
                    return Err(self.error("elements nested deeper than 32"));
                }
                Piece::Start(element) => open.push(element),
                Piece::Text(text) => {
                    open.last_mut().expect("the loop ends with the last open element").text.push_str(&text);
                }
                Piece::End => {
                    let done = open.pop().expect("the loop ends with the last open element");
                    match open.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None => return Ok(done),
                    }
                }
                Piece::Nothing => {}
                Piece::Over => return Err(self.error("the document ends inside a package")),
            }
        }
    }

    fn element(&self, start: &BytesStart<'_>, namespace: Option<Namespace>) -> Result<Element, PskcError> {
        let name = start.local_name().as_ref().to_owned();
        let namespace = namespace.ok_or_else(|| self.error("a prefix without its namespace"))?;
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| self.error(&error.to_string()))?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|error| self.error(&error.to_string()))?;
            attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
        }
        Ok(Element { name, namespace, attributes, text: Zeroizing::default(), children: Vec::new() })
    }

    fn resolve(&self, reference: &BytesRef<'_>) -> Result<Piece, PskcError> {
        let character = reference.resolve_char_ref().map_err(|error| self.error(&error.to_string()))?;
        if let Some(character) = character {
            return Ok(Piece::Text(Zeroizing::new(character.into())));
        }
        match resolve_predefined_entity(reference) {
            Some(text) => Ok(piece_of_text(text)),
            None => Err(self.error(&format!("the entity `{}`, which XML does not know", shown(reference)))),
        }
    }

    fn check_declaration(&self, declaration: &BytesDecl<'_>) -> Result<(), PskcError> {
        let version = declaration.version().map_err(|error| self.error(&error.to_string()))?;
        if version != "1.0" {
            return Err(self.error("only XML 1.0 is read"));
        }
        match declaration.encoding() {
            None => Ok(()),
            Some(Ok(encoding)) if encoding.eq_ignore_ascii_case("utf-8") => Ok(()),
            Some(Ok(encoding)) => {
                let problem = format!("its encoding is `{}`; convert it to UTF-8", shown(&encoding));
                Err(self.error(&problem))
            }
            Some(Err(error)) => Err(self.error(&error.to_string())),
        }
    }

    fn error(&self, problem: &str) -> PskcError {
        PskcError::Xml { at: self.reader.buffer_position(), problem: shown_words(problem) }
    }
}

impl Element {
    fn attribute_bytes(&self) -> usize {
        self.attributes.iter().map(|(key, value)| key.len() + value.len()).sum()
    }
}

impl Namespace {
    /// None where a prefix is not bound to anything.
    fn of(resolved: &ResolveResult<'_>) -> Option<Self> {
        match resolved {
            ResolveResult::Unbound => Some(Self::Borrowed),
            ResolveResult::Bound(namespace) if namespace.as_ref() == PSKC => Some(Self::Pskc),
            ResolveResult::Bound(namespace) if BORROWED.contains(&namespace.as_ref()) => Some(Self::Borrowed),
            ResolveResult::Bound(_) => Some(Self::Foreign),
            ResolveResult::Unknown(_) => None,
        }
    }
}

fn piece_of_text(text: &str) -> Piece {
    Piece::Text(Zeroizing::new(text.to_owned()))
}
