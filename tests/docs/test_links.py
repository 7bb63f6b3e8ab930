"""Links inside the documents."""

from tests.docs.links import broken


def test_every_link_inside_the_documents_leads_somewhere():
    assert broken() == []
